// Our runtime's event loop, as loop-probe.ts sees it from within, while something is asked of it.
import { readFile, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { LoopReport } from "./loop-probe.ts";

/** A daemon that may have been started with the probe. */
export interface WatchedPeer {
  pid: number;
  /** Where its probe writes; absent for daemons that are not ours. */
  loopReport?: string;
}

/** How long the probe's answer is waited for, milliseconds. */
const patience = 5000;

/** Node's flags for a daemon with a probe that writes to `report`. */
export function probeFlags(report: string): string[] {
  const probe = pathToFileURL(`${import.meta.dirname}/loop-probe.ts`);
  probe.searchParams.set("report", report);
  return ["--import", probe.href];
}

/** What the daemon's event loop did during `body`. Undefined for a daemon without a probe, whose `body` runs all the same. */
export async function watchLoop(peer: WatchedPeer, body: () => Promise<unknown>): Promise<LoopReport | undefined> {
  const { pid, loopReport } = peer;
  if (!loopReport) {
    await body();
    return undefined;
  }
  await rm(loopReport, { force: true });
  process.kill(pid, "SIGUSR2");
  try {
    await body();
  } finally {
    process.kill(pid, "SIGUSR2");
  }
  const deadline = performance.now() + patience;
  for (;;) {
    const text = await readFile(loopReport, "utf8").catch(() => undefined); // it may take a turn or two
    if (text !== undefined) return JSON.parse(text) as LoopReport;
    if (performance.now() > deadline) throw new Error("the runtime's event loop was not reported on");
    await delay(10);
  }
}
