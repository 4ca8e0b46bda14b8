// How long a runtime keeps somebody waiting who asks for next to nothing, while it has its hands full.
import { fork } from "node:child_process";
import { once } from "node:events";
import { connectCRI } from "@hawser/cri";
import { type CRIPeer, openPod } from "../cri-pod.ts";
import { type Samples, samples } from "../measure.ts";
import type { Row } from "../table.ts";
import type { Effort } from "./cri.ts";

/** ExecSync calls that are under way all the time. */
const parallel = 32;
/** Milliseconds that this is watched for. */
const watched = 5000;

/**
 * The answers to Version, asked one after the other by a process of its own: the longest of them bounds how long a daemon
 * with one thread has held its event loop.
 */
export async function loopRows(peers: readonly CRIPeer[], { signal }: Effort): Promise<Row[]> {
  const longest = new Map<string, Samples | Error>();
  const typical = new Map<string, Samples | Error>();
  for (const peer of peers) {
    try {
      const { p99, max } = await watch(peer, signal);
      longest.set(peer.name, samples("ms", [max]));
      typical.set(peer.name, samples("ms", [p99]));
    } catch (error) {
      signal.throwIfAborted();
      longest.set(peer.name, error instanceof Error ? error : new Error(String(error)));
    }
  }
  const beside = `Version beside ${parallel} ExecSync calls`;
  return [
    { title: `${beside}, 99th percentile, ms`, cells: typical },
    { title: `${beside}, longest, ms`, cells: longest },
  ];
}

async function watch(peer: CRIPeer, signal: AbortSignal): Promise<{ p99: number; max: number }> {
  await using pod = await openPod(peer);
  const over = AbortSignal.any([signal, AbortSignal.timeout(watched + 15_000)]);
  const child = fork(import.meta.filename, ["ask", peer.endpoint]);
  let asking = true;
  const execs = Array.from({ length: parallel }, async () => {
    while (asking) {
      await pod.cri.runtime.execSync({ containerId: pod.containerId, cmd: ["true"], timeout: 10n }, { signal: over });
    }
  });
  try {
    const answer = once(child, "message", { signal: over });
    const [[found]] = (await Promise.all([answer.finally(() => (asking = false)), ...execs])) as [
      [{ p99: number; max: number }],
    ];
    return found;
  } finally {
    asking = false;
    child.kill();
    await Promise.allSettled(execs);
  }
}

async function ask(endpoint: string): Promise<void> {
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
  process.send?.({ p99: at(0.99), max: at(1) });
}

if (process.argv[2] === "ask" && process.argv[3]) await ask(process.argv[3]);
