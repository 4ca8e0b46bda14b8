import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { completeLock } from "./complete-lock.ts";

test("completeLock: adds the platform packages a registry did not serve, with what their names tell", () => {
  const lock = {
    packages: {
      "": {},
      "node_modules/tool": {
        version: "1.0.0",
        resolved: "https://registry.somewhere/tool.tgz",
        optionalDependencies: {
          "@tool/cli-linux-arm64-musl": "1.0.0",
          "tool-darwin-x64": "1.0.0",
          "tool-linux-x64-gnu": "1.0.0",
        },
      },
      "node_modules/tool-linux-x64-gnu": { version: "1.0.0", optional: true },
    },
  };
  assert.deepEqual(completeLock(lock), ["@tool/cli-linux-arm64-musl@1.0.0", "tool-darwin-x64@1.0.0"]);
  assert.deepEqual(lock.packages, {
    "": {},
    "node_modules/@tool/cli-linux-arm64-musl": {
      version: "1.0.0",
      cpu: ["arm64"],
      os: ["linux"],
      libc: ["musl"],
      optional: true,
    },
    "node_modules/tool": {
      version: "1.0.0",
      optionalDependencies: {
        "@tool/cli-linux-arm64-musl": "1.0.0",
        "tool-darwin-x64": "1.0.0",
        "tool-linux-x64-gnu": "1.0.0",
      },
    },
    "node_modules/tool-darwin-x64": { version: "1.0.0", cpu: ["x64"], os: ["darwin"], optional: true },
    "node_modules/tool-linux-x64-gnu": { version: "1.0.0", optional: true },
  });
});

test("completeLock: refuses to guess", () => {
  const lock = { packages: { "node_modules/tool": { optionalDependencies: { fsevents: "1.0.0" } } } };
  assert.throws(() => completeLock(lock), /cannot tell the platform of fsevents/);
});

test("package-lock.json is complete, and names no registry", async () => {
  const text = await readFile(new URL("../package-lock.json", import.meta.url), "utf8");
  assert.deepEqual(completeLock(JSON.parse(text)), []);
  assert.doesNotMatch(text, /"resolved": "http/);
});
