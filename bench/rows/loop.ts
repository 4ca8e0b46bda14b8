// How long a runtime keeps somebody waiting who asks for next to nothing, while it has its hands full; and of our own, which part
// of that is its event loop's doing, and which is waiting for a processor.
import { fork } from "node:child_process";
import { once } from "node:events";
import { connectCRI } from "@hawser/cri";
import { type CRIPeer, openPod } from "../cri-pod.ts";
import type { LoopReport } from "../loop-probe.ts";
import { type WatchedPeer, watchLoop } from "../loop-watch.ts";
import { type Samples, samples } from "../measure.ts";
import type { Row } from "../table.ts";
import type { Effort } from "./cri.ts";
import { serveLargeImage } from "./data.ts";
import { manyPods, startAndRemove } from "./pods.ts";

/** ExecSync calls that are under way all the time. */
const parallel = 32;
/** How many of each come first: code that is compiled as it runs, and a heap that grows. */
const warmUp = 10;
/** Milliseconds that this is watched for. */
const watched = 5000;

type Peer = CRIPeer & WatchedPeer;

export async function loopRows(peers: readonly Peer[], { signal }: Effort): Promise<Row[]> {
  const rows = new Map<string, Map<string, Samples | Error>>();
  const put = (title: string, peer: Peer, value: number | Error) => {
    const cells = rows.get(title) ?? new Map<string, Samples | Error>();
    rows.set(title, cells.set(peer.name, value instanceof Error ? value : samples("ms", [value])));
  };
  const beside = `Version beside ${parallel} ExecSync calls`;
  for (const peer of peers) {
    const report = (doing: string, seen: LoopReport | undefined) => {
      if (!seen) return;
      put(`event loop, ${doing}: the longest turn's own time, ms`, peer, seen.longest.own);
      put(`event loop, ${doing}: the longest wait for a processor, ms`, peer, seen.longest.waited);
      put(`event loop, ${doing}: the longest turn by the clock, ms`, peer, seen.longest.held);
    };
    try {
      const { p99, max, first, loop } = await besideExecs(peer, signal);
      put(`${beside}, 99th percentile, ms`, peer, p99);
      put(`${beside}, longest, ms`, peer, max);
      report(`a daemon's first ${warmUp * parallel} ExecSync calls, ${parallel} at once`, first);
      report(`${parallel} ExecSync calls at once from then on`, loop);
    } catch (error) {
      signal.throwIfAborted();
      put(`${beside}, longest, ms`, peer, error instanceof Error ? error : new Error(String(error)));
    }
    if (!peer.loopReport) continue;
    report(`${manyPods} pods side by side`, await pods(peer));
    report("an image of 131 MB pulled", await pull(peer, signal));
  }
  return [...rows].map(([title, cells]) => ({ title, cells }));
}

interface Answers {
  p99: number;
  max: number;
}

/** Version, asked one after the other by a process of its own, beside commands that another keeps going. */
async function besideExecs(
  peer: Peer,
  signal: AbortSignal,
): Promise<Answers & Record<"first" | "loop", LoopReport | undefined>> {
  await using pod = await openPod(peer);
  const over = AbortSignal.any([signal, AbortSignal.timeout(watched + 30_000)]);
  const first = await watchLoop(peer, async () => {
    const call = { containerId: pod.containerId, cmd: ["true"], timeout: 10n };
    for (let round = 0; round < warmUp; round++) {
      await Promise.all(Array.from({ length: parallel }, () => pod.cri.runtime.execSync(call, { signal: over })));
    }
  });
  let answers: Answers | undefined;
  const loop = await watchLoop(peer, async () => {
    using stack = new DisposableStack();
    const run = async (task: keyof typeof tasks): Promise<unknown> => {
      const child = fork(import.meta.filename, [task, peer.endpoint, pod.containerId]);
      stack.defer(() => child.kill());
      const said = once(child, "message", { signal: over });
      const ended = once(child, "exit", { signal: over }).then(([code]) => {
        throw new Error(`the process that was to ${task} has ended with ${code}`);
      });
      const [message] = await Promise.race([said, ended]);
      return message;
    };
    const [asked, ended] = await Promise.all([run("ask"), run("load")]);
    if (ended !== "done") throw new Error(String(ended));
    answers = asked as Answers;
  });
  if (!answers) throw new Error("unreachable: the watch has run");
  return { ...answers, first, loop };
}

async function pods(peer: Peer): Promise<LoopReport | undefined> {
  using cri = await connectCRI({ endpoint: peer.endpoint });
  return await watchLoop(peer, () => Promise.all(Array.from({ length: manyPods }, () => startAndRemove(cri, peer))));
}

async function pull(peer: Peer, signal: AbortSignal): Promise<LoopReport | undefined> {
  await using served = await serveLargeImage();
  using cri = await connectCRI({ endpoint: peer.endpoint });
  const image = { image: served.reference };
  try {
    return await watchLoop(peer, () => cri.images.pullImage({ image }, { signal }));
  } finally {
    await cri.images.removeImage({ image });
  }
}

/** What the processes beside this one do. */
const tasks = {
  async ask(endpoint: string): Promise<Answers> {
    using cri = await connectCRI({ endpoint });
    const took: number[] = [];
    const end = performance.now() + watched;
    while (performance.now() < end) {
      const start = performance.now();
      await cri.runtime.version({});
      took.push(performance.now() - start);
    }
    took.sort((a, b) => a - b);
    const at = (part: number) => took[Math.min(took.length - 1, Math.floor(took.length * part))] ?? Number.NaN;
    return { p99: at(0.99), max: at(1) };
  },
  async load(endpoint: string, containerId: string): Promise<string> {
    using cri = await connectCRI({ endpoint });
    const signal = AbortSignal.timeout(watched + 10_000);
    const end = performance.now() + watched;
    const worker = async () => {
      while (performance.now() < end) {
        await cri.runtime.execSync({ containerId, cmd: ["true"], timeout: 10n }, { signal });
      }
    };
    try {
      await Promise.all(Array.from({ length: parallel }, worker));
      return "done";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  },
};

const [task, endpoint = "", containerId = ""] = process.argv.slice(2);
if (import.meta.main && (task === "ask" || task === "load")) {
  process.send?.(await tasks[task](endpoint, containerId));
  process.disconnect();
}
