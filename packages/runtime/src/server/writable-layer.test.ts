import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { writableLayer } from "./writable-layer.ts";

it("writableLayer: counts files and directories, and keeps the result for 5 s", async () => {
  const upper = await mkdtemp(path.join(tmpdir(), "hawser-upper-"));
  try {
    await mkdir(path.join(upper, "a/b"), { recursive: true });
    await writeFile(path.join(upper, "a/b/file"), Buffer.alloc(8192, "x"));
    const first = await writableLayer(upper, 1n);
    assert.equal(first?.inodes, 3n);
    assert.ok((first?.bytes ?? 0n) >= 8192n);
    await writeFile(path.join(upper, "more"), "");
    assert.equal((await writableLayer(upper, 2n))?.inodes, 3n);
    assert.equal((await writableLayer(upper, 5_000_000_001n))?.inodes, 4n);
  } finally {
    await rm(upper, { recursive: true });
  }
});

it("writableLayer: goes on while its files come and go", async () => {
  const upper = await mkdtemp(path.join(tmpdir(), "hawser-upper-"));
  const files = Array.from({ length: 200 }, (_, n) => path.join(upper, String(n)));
  try {
    await Promise.all(files.map((file) => writeFile(file, "")));
    const [usage] = await Promise.all([writableLayer(upper, 1n), ...files.map((file) => rm(file))]);
    assert.ok(usage && usage.inodes <= 200n);
  } finally {
    await rm(upper, { recursive: true });
  }
});

it("writableLayer: undefined where there is none", async () => {
  assert.equal(await writableLayer("/no/such/upper", 1n), undefined);
});
