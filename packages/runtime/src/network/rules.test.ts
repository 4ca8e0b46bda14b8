import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { Reaper } from "../native/reaper.ts";
import { addRules } from "./rules.ts";

it("an iptables that never answers is killed, and named", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-iptables-"));
  const before = process.env.PATH;
  using reaper = new Reaper();
  try {
    for (const name of ["iptables", "iptables-restore"]) {
      await writeFile(path.join(folder, name), "#!/bin/sh\nexec sleep 100\n", { mode: 0o755 });
    }
    process.env.PATH = `${folder}:${before}`;
    const rules = { hash: "00000000", bridge: "hawser00000000", podCIDR: "10.99.0.0/24" };
    await assert.rejects(addRules({ reaper, timeoutMs: 200 }, rules), {
      message: `${folder}/iptables-restore --wait --noflush: no answer within 0.2 s`,
    });
  } finally {
    process.env.PATH = before;
    await rm(folder, { recursive: true, force: true });
  }
});
