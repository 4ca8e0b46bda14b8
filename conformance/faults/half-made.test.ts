// A runtime that is killed while it makes a pod, and never started again: what takes everything away takes that pod's ports too.
// Needs root, crun and the CNI plugins.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { nothing } from "./support/calls.ts";
import { startFaulty } from "./support/runtime-process.ts";

const execute = promisify(execFile);

describe("a pod with a host port whose runtime is killed before it is recorded", { timeout: 120_000 }, () => {
  it("leaves no chain of it in the node's rules", async () => {
    await using runtime = await startFaulty({ bare: true });
    const { config } = await nothing();
    await runtime.arm(/^before rename .*state\.json/);
    await assert.rejects(runtime.cri.runtime.runPodSandbox({ config }));
    await runtime.gone();
    const made = (await rules()).filter((line) => line.includes(`--dport ${config.portMappings[0]?.hostPort} `));
    const chains = [...new Set(made.flatMap((line) => /^-A (CNI-DN-\S+) /.exec(line)?.[1] ?? []))];
    assert.equal(chains.length, 1, "the port was there");
    await runtime[Symbol.asyncDispose]();
    assert.deepEqual(
      (await rules()).filter((line) => chains.some((chain) => line.includes(chain))),
      [],
    );
  });
});

async function rules(): Promise<string[]> {
  const { stdout } = await execute("iptables-save", ["-t", "nat"], { timeout: 30_000 });
  return stdout.split("\n");
}
