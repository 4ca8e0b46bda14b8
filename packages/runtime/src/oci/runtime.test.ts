import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { Reaper } from "../native/reaper.ts";
import { call, type OCIRuntime } from "./runtime.ts";
import { plainView } from "./view.ts";

describe("call", () => {
  let directory: string;
  let reaper: Reaper;
  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "hawser-oci-"));
    reaper = new Reaper();
  });
  after(async () => {
    reaper[Symbol.dispose]();
    await rm(directory, { recursive: true });
  });

  /** An OCI runtime that does this, whatever it is told. */
  async function runtime(script: string, timeoutMs: number): Promise<OCIRuntime> {
    const file = path.join(directory, `runtime-${timeoutMs}`);
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
    const { name, version, reason } = { name: "crun", version: "1", reason: "a test" } as const;
    const common = { cgroupDriver: "cgroupfs", view: plainView } as const;
    return { ...common, name, version, reason, path: file, root: directory, timeoutMs, others: [] };
  }

  it("kills a command that takes too long, and says so", async () => {
    const oci = await runtime("exec sleep 100", 50);
    await assert.rejects(call({ reaper, oci }, "start", ["x"]), { name: "OCIError", message: /no answer within/ });
  });

  it("kills nobody once the command has ended: its number may be another's", async (t) => {
    const oci = await runtime("exit 0", 60_000);
    const kill = t.mock.method(process, "kill", () => true);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    await call({ reaper, oci }, "start", ["x"]);
    t.mock.timers.tick(60_001);
    assert.equal(kill.mock.callCount(), 0);
  });
});
