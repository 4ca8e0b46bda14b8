// What a daemon holds, whatever its garbage collector has not come round to.
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "@hawser/testing";
import { type Hop, logFile } from "hawser";
import type { OwnCluster } from "./own-cluster.ts";

/**
 * For the daemons of a cluster that is to be measured: each opens its inspector on a port of its own when it is asked to, and
 * the space for new objects, which grows with the traffic of a moment by up to 48 MiB, stays small;
 * buffers go back to the kernel once they are freed. By default glibc keeps what it had at the busiest moment, tens of megabytes that belong to
 * no session: the next one takes its buffers from there.
 */
const measurable = {
  NODE_OPTIONS: "--inspect-port=0 --max-semi-space-size=1",
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "4096",
  MALLOC_MMAP_MAX_: "1000000",
  MALLOC_TRIM_THRESHOLD_: "65536",
};

/** Runs `start`, whose daemons can be measured then. */
export async function measurably<T>(start: () => Promise<T>): Promise<T> {
  const before = Object.fromEntries(Object.keys(measurable).map((name) => [name, process.env[name]]));
  Object.assign(process.env, measurable); // daemons inherit it
  try {
    return await start();
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

export interface Held {
  /** The process' own share of memory (Pss), bytes. */
  pss: number;
  /** JavaScript objects and the buffers they hold, bytes: what no collection could free. */
  reachable: number;
}

/** Collects a daemon's garbage, and says what it holds. It must have been started by `measurably`. */
export async function heldBy(cluster: OwnCluster, hop: Hop, pid: number): Promise<Held> {
  const url = async () =>
    [...(await readFile(logFile(cluster.paths, hop), "utf8")).matchAll(/Debugger listening on (ws:\S+)/g)].at(-1)?.[1];
  if ((await url()) === undefined) process.kill(pid, "SIGUSR1");
  const inspector = new WebSocket(await eventually("the inspector listens", url));
  await new Promise((resolve, reject) => {
    inspector.onopen = resolve;
    inspector.onerror = () => reject(new Error(`cannot reach the inspector of the ${hop}`));
  });
  let serial = 0;
  const call = (method: string, params: object = {}) =>
    new Promise<{ result?: { value?: string } }>((resolve) => {
      const id = ++serial;
      const hear = (event: MessageEvent) => {
        const answer = JSON.parse(String(event.data));
        if (answer.id !== id) return;
        inspector.removeEventListener("message", hear);
        resolve(answer.result);
      };
      inspector.addEventListener("message", hear);
      inspector.send(JSON.stringify({ id, method, params }));
    });
  try {
    // Twice: what the first one finalizes is freed by the second.
    for (let round = 0; round < 2; round++) await call("HeapProfiler.collectGarbage");
    const expression = "JSON.stringify(process.memoryUsage())";
    const { result } = await call("Runtime.evaluate", { expression, returnByValue: true });
    const { heapUsed, external } = JSON.parse(result?.value ?? "{}");
    return { pss: await settledPss(pid), reachable: heapUsed + external };
  } finally {
    inspector.close();
  }
}

/** V8 gives pages back in the background: the least of five looks within a second counts. */
async function settledPss(pid: number): Promise<number> {
  const looks: number[] = [];
  for (let look = 0; look < 5; look++) {
    if (look > 0) await delay(200);
    const pss = /^Pss: +(\d+) kB/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
    looks.push(Number(pss) * 1024);
  }
  return Math.min(...looks);
}
