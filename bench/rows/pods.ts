// Pods as an operator has them: many at once, coming and going, and idle.
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type CRIConnection, connectCRI } from "@hawser/cri";
import { type CRIPeer, openPod, removePod, startPod } from "../cri-pod.ts";
import { type WatchedPeer, watchLoop } from "../loop-watch.ts";
import { type Contestant, race, type Samples, samples, timed } from "../measure.ts";
import type { Row } from "../table.ts";
import type { Effort } from "./cri.ts";
import { pss, type WeighedPeer } from "./memory.ts";

/** Pods started side by side. */
export const manyPods = 50;
/** Containers that run while the daemon is watched at rest. */
const idleContainers = 100;
/** Containers that a list has to name. */
const listed = 500;
/** Times it is asked for. */
const lists = 50;
/** Milliseconds that the daemon is watched for. */
const watched = 10_000;
/** Calls that are under way at once while containers are created. */
const atOnce = 8;

export async function podRows(peers: readonly (WeighedPeer & WatchedPeer)[], effort: Effort): Promise<Row[]> {
  const rows = await lifeRows(peers, effort);
  return [...rows, ...(await restRows(peers, effort.signal))];
}

/** Pods that come and go, beside one that stays. */
async function lifeRows(peers: readonly WeighedPeer[], { runs, signal }: Effort): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const open: { peer: WeighedPeer; cri: CRIConnection }[] = [];
  for (const peer of peers) open.push({ peer, cri: stack.use(await openPod(peer)).cri });
  const each = (run: (cri: CRIConnection, peer: WeighedPeer) => Promise<number>): Contestant[] =>
    open.map(({ peer, cri }) => ({ name: peer.name, run: () => run(cri, peer) }));
  const few = Math.max(2, Math.ceil(runs / 10));
  return [
    {
      title: "a pod started, stopped and removed, ms",
      cells: await race(each(startAndRemove), { unit: "ms", runs, signal }),
    },
    {
      title: `${manyPods} pods started, stopped and removed side by side, ms`,
      cells: await race(
        each((cri, peer) =>
          timed(() => Promise.all(Array.from({ length: manyPods }, () => startAndRemove(cri, peer)))),
        ),
        { unit: "ms", runs: few, signal, warmUp: 0 },
      ),
    },
  ];
}

export async function startAndRemove(cri: CRIConnection, peer: CRIPeer): Promise<number> {
  return timed(async () => removePod(cri, (await startPod(cri, peer)).podSandboxId));
}

/** The daemon with no container and with many, and a list of very many. */
async function restRows(peers: readonly (WeighedPeer & WatchedPeer)[], signal: AbortSignal): Promise<Row[]> {
  const titles = {
    cpu0: "daemon at rest, no containers, CPU, % of a core",
    memory0: "daemon, no containers, Pss, MB",
    cpu: `daemon at rest, ${idleContainers} containers, CPU, % of a core`,
    memory: `daemon, ${idleContainers} containers, Pss, MB`,
    list: `ListContainers, ${listed} containers, ms`,
    loop: `event loop, lists of ${listed} containers: the longest turn's own time, ms`,
  };
  const cells = new Map(Object.values(titles).map((title) => [title, new Map<string, Samples | Error>()]));
  const put = (title: string, peer: WeighedPeer, value: Samples | Error) => cells.get(title)?.set(peer.name, value);
  for (const peer of peers) {
    signal.throwIfAborted();
    using cri = await connectCRI({ endpoint: peer.endpoint });
    await untilEmpty(cri, signal);
    put(titles.cpu0, peer, samples("%", [await cpuAtRest(peer.pid)]));
    put(titles.memory0, peer, samples("MB", [await pss(peer.pid)]));
    let podSandboxId: string | undefined;
    try {
      ({ podSandboxId } = await startPod(cri, peer));
      await addContainers(cri, peer, { podSandboxId, count: idleContainers - 1, start: true });
      put(titles.cpu, peer, samples("%", [await cpuAtRest(peer.pid)]));
      put(titles.memory, peer, samples("MB", [await pss(peer.pid)]));
      await addContainers(cri, peer, { podSandboxId, count: listed - idleContainers, start: false });
      const filter = { podSandboxId };
      const list = async () => {
        const { containers } = await cri.runtime.listContainers({ filter });
        if (containers.length !== listed) throw new Error(`${containers.length} of ${listed} containers are listed`);
      };
      const one = [{ name: peer.name, run: () => timed(list) }];
      const loop = await watchLoop(peer, async () => {
        put(
          titles.list,
          peer,
          (await race(one, { unit: "ms", runs: lists, signal })).get(peer.name) ?? new Error("no run"),
        );
      });
      if (loop) put(titles.loop, peer, samples("ms", [loop.longest.own]));
    } catch (error) {
      signal.throwIfAborted();
      put(titles.list, peer, error instanceof Error ? error : new Error(String(error)));
    } finally {
      if (podSandboxId) await removePod(cri, podSandboxId);
    }
  }
  return [...cells].map(([title, found]) => ({ title, cells: found }));
}

/** What other sections had running has been told to go. Throws when it does not. */
async function untilEmpty(cri: CRIConnection, signal: AbortSignal): Promise<void> {
  for (let waited = 0; ; waited++) {
    const { containers } = await cri.runtime.listContainers({});
    if (containers.length === 0) return;
    if (waited === 60) throw new Error(`${containers.length} containers are left of other sections`);
    await delay(1000, undefined, { signal });
  }
}

async function addContainers(
  cri: CRIConnection,
  peer: CRIPeer,
  { podSandboxId, count, start }: { podSandboxId: string; count: number; start: boolean },
): Promise<void> {
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId });
  const sandboxConfig = {
    ...(status?.metadata && { metadata: status.metadata }),
    linux: {
      cgroupParent: `${peer.cgroupParent}/${status?.metadata?.name}`,
      securityContext: { namespaceOptions: {} },
    },
  };
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const name = `${start ? "r" : "c"}${next++}`;
      const config = {
        metadata: { name, attempt: 0 },
        image: { image: peer.image },
        command: ["sleep", "100000"],
        linux: {},
      };
      const { containerId } = await cri.runtime.createContainer({ podSandboxId, config, sandboxConfig });
      if (start) await cri.runtime.startContainer({ containerId });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Percent of one core that the process uses while nobody asks it anything. */
async function cpuAtRest(pid: number): Promise<number> {
  await delay(1000); // what the last calls have left to do
  const before = await ticks(pid);
  await delay(watched);
  // Ticks are hundredths of a second. Source: proc_pid_stat(5)
  return (((await ticks(pid)) - before) * 10 * 100) / watched;
}

async function ticks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
