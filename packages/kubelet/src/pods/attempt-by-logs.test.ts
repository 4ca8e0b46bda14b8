import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { attemptByLogs, removeLogsBefore } from "./attempt-by-logs.ts";

test("the next start by the logs of earlier ones", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "logs-"));
  t.after(() => rm(folder, { recursive: true }));
  assert.equal(await attemptByLogs(join(folder, "none")), 0);
  assert.equal(await attemptByLogs(folder), 0);
  for (const name of ["0.log", "2.log", "10.log.20260101-000000.gz", "x.log", "99"])
    await writeFile(join(folder, name), "");
  assert.equal(await attemptByLogs(folder), 11);
  await removeLogsBefore(folder, 10);
  assert.deepEqual((await readdir(folder)).sort(), ["10.log.20260101-000000.gz", "99", "x.log"]);
  await removeLogsBefore(join(folder, "none"), 10);
});
