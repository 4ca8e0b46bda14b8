import assert from "node:assert/strict";
import { test } from "node:test";
import { ContainerConfigSchema, create, type MessageInitShape } from "@hawser/cri";
import { checkPaths } from "./check-path.ts";

test("checkPaths: what a kernel takes passes, what it does not is named", () => {
  const long = `/${"w/".repeat(2047)}`;
  checkPaths(create(ContainerConfigSchema, { workingDir: long }));
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
