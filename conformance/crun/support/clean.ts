// Removes what interrupted runs of these tests have left: node conformance/crun/support/clean.ts
import { glob, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { removeEverything } from "@hawser/runtime";

for await (const root of glob(path.join(tmpdir(), "hawser-{crun,faults}-*"))) {
  try {
    await removeEverything(root);
  } catch (error) {
    process.stdout.write(`${root} stays: ${error}\n`); // a test is running there
    continue;
  }
  await rm(root, { recursive: true, force: true });
  process.stdout.write(`removed ${root}\n`);
}
