import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

describe("execSync over crun", () => {
  let runtime: TestRuntime;
  let containerId: string;
  before(async () => {
    runtime = await startTestRuntime({ ociRuntime: "crun" });
    ({ containerId } = await startContainer(runtime.cri));
  });
  after(() => runtime[Symbol.asyncDispose]());

  it("gives both outputs and the exit code", async () => {
    const result = await sh(runtime.cri, containerId, "echo out; echo err >&2; exit 3");
    assert.deepEqual(result, { stdout: "out\n", stderr: "err\n", exitCode: 3 });
  });
});
