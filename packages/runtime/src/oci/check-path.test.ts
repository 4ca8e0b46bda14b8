import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { ContainerConfigSchema, create, type MessageInitShape } from "@hawser/cri";
import { checkLogFile, checkPaths } from "./check-path.ts";

test("checkPaths: what a kernel takes passes, what it does not is named", () => {
  const long = `/${"w/".repeat(2047)}`;
  checkPaths(create(ContainerConfigSchema, { workingDir: long, logPath: "x".repeat(255) }));
  const mount = { hostPath: "/h", containerPath: `${long}x` };
  const refused: [MessageInitShape<typeof ContainerConfigSchema>, string][] = [
    [{ workingDir: `/${"w/".repeat(15_000)}` }, "working directory has more than 4095 bytes"],
    [{ workingDir: `/${"é".repeat(128)}` }, "working directory has a name of more than 255 bytes"],
    [{ mounts: [mount] }, "container path has more than 4095 bytes"],
    [{ devices: [{ hostPath: `/${"x".repeat(256)}` }] }, "host path has a name of more than 255 bytes"],
  ];
  for (const [config, message] of refused) {
    assert.throws(() => checkPaths(create(ContainerConfigSchema, config)), { code: 3, message });
  }
});

test("checkLogFile: a file or nothing may be there; a pipe, a directory or a long name is refused", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-log-"));
  try {
    const [file, pipe] = [path.join(folder, "0.log"), path.join(folder, "pipe")];
    await checkLogFile(file);
    await checkLogFile(path.join(folder, "to/be/made"));
    await writeFile(file, "");
    await checkLogFile(file);
    execFileSync("mkfifo", [pipe]);
    for (const place of [pipe, folder])
      await assert.rejects(checkLogFile(place), { code: 3, message: /is not a file/ });
    await assert.rejects(checkLogFile(`${file}/${"x".repeat(300)}`), { code: 3, message: /name of more than 255/ });
    await assert.rejects(checkLogFile(path.join(file, "x")), { code: 3, message: /ENOTDIR/ });
  } finally {
    await rm(folder, { recursive: true });
  }
});
