import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";

const source = new URL("./still-at-end.ts", import.meta.url).href;

/** Ends a process that has lived for so many seconds by process.exit(7): how often it stood still, and its exit code. */
function exitOf(uptime: number): Promise<{ stood: string; code: unknown }> {
  const script = `
    import { stillAtEnd } from ${JSON.stringify(source)};
    const { writeSync } = process.getBuiltinModule("node:fs");
    let stood = 0;
    Atomics.wait = () => stood++;
    stillAtEnd({ uptime: () => ${uptime} });
    process.once("exit", () => writeSync(1, String(stood)));
    process.exit(7);`;
  return new Promise((resolve) => {
    execFile(process.execPath, ["--input-type=module", "-e", script], (error, stood) =>
      resolve({ stood, code: error?.code }),
    );
  });
}

describe("the end of a process", () => {
  it("stands still where it has lived for long, and keeps its exit code", async () => {
    assert.deepEqual(await exitOf(1), { stood: "10", code: 7 });
  });

  it("comes at once where it was short", async () => {
    assert.deepEqual(await exitOf(0.1), { stood: "0", code: 7 });
  });
});
