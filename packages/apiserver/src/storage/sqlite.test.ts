import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openSQLite } from "./sqlite.ts";
import { storageSuite } from "./testing/storage-suite.ts";

storageSuite("sqlite", async () => openSQLite({ path: ":memory:" }));

async function temporaryFile() {
  const folder = await mkdtemp(join(tmpdir(), "hawser-sqlite-"));
  return { path: join(folder, "state.db"), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

test("sqlite: what was written is there after a restart, and revisions go on", async () => {
  await using file = await temporaryFile();
  let revision: number | undefined;
  {
    await using storage = openSQLite({ path: file.path });
    const made = await storage.put("/registry/a/b", "1", { expect: 0 });
    revision = await storage.delete("/registry/a/b", { expect: made ?? 0 });
    await storage.compact(revision ?? 0);
  }
  await using storage = openSQLite({ path: file.path });
  assert.equal(await storage.revision(), revision);
  assert.equal(await storage.put("/registry/a/b", "2", { expect: 0 }), (revision ?? 0) + 1);
});

test("sqlite: a file in use, and one that is no database, are refused", async () => {
  await using file = await temporaryFile();
  {
    await using _storage = openSQLite({ path: file.path });
    assert.throws(() => openSQLite({ path: file.path }), /state\.db: database is locked/);
  }
  const other = `${file.path}.txt`;
  await writeFile(other, "this is not a database, not even a small one".repeat(20));
  assert.throws(() => openSQLite({ path: other }), /file is not a database/);
});

test("sqlite: a key past its time is deleted, as any other deletion", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  let now = 1000;
  await using storage = openSQLite({ path: ":memory:", now: () => now });
  const first = await storage.put("/registry/events/a", "1", { expect: 0, ttlSeconds: 60 });
  await storage.put("/registry/events/b", "1", { expect: 0 });
  now += 59_000;
  context.mock.timers.tick(30_000);
  assert.ok(await storage.get("/registry/events/a"));
  await storage.put("/registry/events/a", "2", { expect: first ?? 0, ttlSeconds: 60 });
  now += 59_000;
  context.mock.timers.tick(30_000);
  assert.equal((await storage.get("/registry/events/a"))?.value, "2");
  now += 1_000;
  context.mock.timers.tick(30_000);
  assert.equal(await storage.get("/registry/events/a"), undefined);
  assert.ok(await storage.get("/registry/events/b"));
});
