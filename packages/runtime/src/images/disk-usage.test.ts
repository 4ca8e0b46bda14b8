import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { diskUsage } from "./disk-usage.ts";

const du = async (directory: string, what: string) =>
  Number.parseInt((await promisify(execFile)("du", ["--summarize", what, directory])).stdout, 10);

test("diskUsage: what du says, with links, holes and names of any bytes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-usage-"));
  const never = new AbortController().signal;
  try {
    await mkdir(join(folder, "a/b/c"), { recursive: true });
    await writeFile(join(folder, "a/large"), "x".repeat(123_456));
    await writeFile(join(folder, "a/b/empty"), "");
    await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xfc, 0x0a])]), "y");
    await link(join(folder, "a/large"), join(folder, "a/b/c/again"));
    await symlink("/", join(folder, "a/out"));
    await symlink("x".repeat(3000), join(folder, "a/long"));
    for (let n = 0; n < 700; n++) await symlink("x", join(folder, "a/b/c", `${n}`));
    const [bytes, inodes] = [await du(folder, "--block-size=1"), await du(folder, "--inodes")];
    assert.deepEqual(await diskUsage(folder, never), { bytes, inodes });
    await assert.rejects(diskUsage(folder, AbortSignal.abort(new Error("enough"))), { message: "enough" });
  } finally {
    await rm(folder, { recursive: true });
  }
});
