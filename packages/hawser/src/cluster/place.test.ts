import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkPlace } from "./place.ts";

test("checkPlace: room in a folder that is yet to be made", () => checkPlace(join(tmpdir(), "not", "there")));

test("checkPlace: says why a folder cannot be made", async () => {
  // proc and sysfs: writable by their mode, with no space at all.
  await assert.rejects(checkPlace("/proc/x"), /^Error: \/proc has 0 MiB of space left, .+ choose another --data-dir$/);
  await assert.rejects(checkPlace("/dev/null/x"), /ENOTDIR/);
});
