// Memory as the kernel charges it: Pss, so that pages shared by several processes count once.
import { readFile } from "node:fs/promises";
import { type CRIPeer, openPod, removePod, startPod } from "../cri-pod.ts";
import { type Samples, samples } from "../measure.ts";
import type { Row } from "../table.ts";

/** Pods started to see what one costs. */
const podCount = 10;

export interface WeighedPeer extends CRIPeer {
  /** The runtime's daemon. */
  pid: number;
  /** Every process the runtime keeps for its pods: monitors or shims, pause processes apart. */
  monitors(): Promise<number[]>;
}

/** Daemon and per pod, MB, the container's and the pause process' own memory left out. */
export async function memoryRows(peers: readonly WeighedPeer[]): Promise<Row[]> {
  const daemonCells = new Map<string, Samples>();
  const perPodCells = new Map<string, Samples>();
  for (const peer of peers) {
    await using warm = await openPod(peer);
    const before = await pssOf(await peer.monitors());
    const started: string[] = [];
    try {
      for (let pod = 0; pod < podCount; pod++) started.push((await startPod(warm.cri, peer)).podSandboxId);
      const after = await pssOf(await peer.monitors());
      perPodCells.set(peer.name, samples("MB", [(after - before) / podCount]));
      daemonCells.set(peer.name, samples("MB", [await pss(peer.pid)]));
    } finally {
      for (const id of started) await removePod(warm.cri, id);
    }
  }
  return [
    { title: "runtime daemon, Pss, MB", cells: daemonCells },
    { title: "per pod, monitors or shims, Pss, MB", cells: perPodCells },
  ];
}

/** MB of several processes; one that has ended meanwhile has none. */
export async function pssOf(pids: readonly number[]): Promise<number> {
  let total = 0;
  for (const pid of pids) {
    total += await pss(pid).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ESRCH") return 0;
      throw error;
    });
  }
  return total;
}

/** Proportional set size of a process, MB. */
export async function pss(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const kilobytes = /^Pss:\s+(\d+) kB/m.exec(rollup)?.[1];
  if (kilobytes === undefined) throw new Error(`no Pss of process ${pid}`);
  return Number(kilobytes) / 1024;
}
