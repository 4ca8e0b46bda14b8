import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { attemptByLogs } from "./attempt-by-logs.ts";

test("the next start by the logs of earlier ones", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "logs-"));
  t.after(() => rm(folder, { recursive: true }));
  assert.equal(await attemptByLogs(join(folder, "none")), 0);
  assert.equal(await attemptByLogs(folder), 0);
  for (const name of ["0.log", "2.log", "10.log.20260101-000000.gz", "x.log", "99"])
    await writeFile(join(folder, name), "");
  assert.equal(await attemptByLogs(folder), 11);
});
