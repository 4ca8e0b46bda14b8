import assert from "node:assert/strict";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { probeFlags, watchLoop } from "../../bench/loop-watch.ts";
import { startContainer } from "../crun/support/runtime.ts";
import { startRuntimeProcess } from "./runtime-process.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
/**
 * The aim is 10, where nobody else wants the machine (docs/benchmarks.md); beside other tests the same work takes twice the time. What
 * this is to find, a heap that is marked all at once, or a process that is released by the loop itself, took 20 to 60. What is
 * longer once, and not in the next round, is taken for somebody else's.
 */
const longest = 30;

test(`no turn of the daemon's event loop takes a processor for ${longest} ms, with execs and pods at once`, {
  skip,
}, async () => {
  await using folder = await mkdtempDisposable(path.join(tmpdir(), "hawser-loop-"));
  const loopReport = path.join(folder.path, "report.json");
  await using runtime = await startRuntimeProcess({}, { NODE_OPTIONS: probeFlags(loopReport).join("=") });
  const { cri } = runtime;
  const { podSandboxId, containerId } = await startContainer(cri, { command: ["sleep", "1000"] });
  const round = () =>
    watchLoop({ pid: runtime.process.pid, loopReport }, async () => {
      for (let n = 0; n < 3; n++) {
        await Promise.all(Array.from({ length: 32 }, () => cri.runtime.execSync({ containerId, cmd: ["true"] })));
      }
      const pod = async () => {
        const { podSandboxId } = await startContainer(cri, { command: ["sleep", "1000"] });
        await cri.runtime.stopPodSandbox({ podSandboxId });
        await cri.runtime.removePodSandbox({ podSandboxId });
      };
      await Promise.all(Array.from({ length: 16 }, pod));
    });
  const first = await round();
  const report = first && first.longest.own < longest ? first : await round();
  await cri.runtime.removePodSandbox({ podSandboxId });
  assert.ok(report && report.turns > 100, `${report?.turns} turns`);
  assert.ok(report.longest.own < longest, JSON.stringify([first, report].map((each) => each?.worst.slice(0, 5))));
});
