import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { heapFlags, runtimeHeapFlags } from "./heap-flags.ts";

test("runtimeHeapFlags: this Node takes them; those that a V8 may not know are for the ones that have been tried", async () => {
  const flags = runtimeHeapFlags();
  const asked = [...flags, "-p", "JSON.stringify(process.execArgv)"];
  const { stdout } = await promisify(execFile)(process.execPath, asked);
  assert.deepEqual(JSON.parse(stdout).slice(0, flags.length), flags);
  assert.equal(runtimeHeapFlags("13.6.233.17-node.1").length, heapFlags.length + 2);
  assert.deepEqual(runtimeHeapFlags("14.1.146.11-node.1"), heapFlags);
});
