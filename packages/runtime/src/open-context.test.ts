import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createLogger } from "@hawser/trace";
import { allAtTheirEnd } from "./all-at-their-end.ts";
import { completeConfig } from "./config.ts";
import { Reaper } from "./native/reaper.ts";
import { openContext } from "./open-context.ts";
import { pathsOf } from "./paths.ts";

test("allAtTheirEnd: rejects with the first reason, and not before the last has ended", async () => {
  let ended = false;
  const slow = delay(5).then(() => {
    ended = true;
  });
  await assert.rejects(allAtTheirEnd([Promise.reject(new Error("a")), slow, Promise.reject(new Error("b"))]), /a/);
  assert.equal(ended, true);
  assert.deepEqual(await allAtTheirEnd([1, Promise.resolve("x")]), [1, "x"]);
});

test("openContext: what was opened beside what failed is closed", async () => {
  const root = await mkdtemp(path.join(tmpdir(), "hawser-context-"));
  try {
    using reaper = new Reaper();
    await using started = new AsyncDisposableStack();
    const kept: unknown[] = [];
    const use = started.use.bind(started);
    started.use = (value) => {
      kept.push(value);
      return use(value);
    };
    const dependencies = {
      config: completeConfig({}),
      paths: pathsOf(root, path.join(root, "state")),
      log: createLogger({ sink: { write: () => undefined } }),
      reaper,
      cgroupMode: "v2" as const,
      conmonPath: "",
      bridge: "",
      pauseProgram: path.join(root, "none"),
    };
    await assert.rejects(openContext(dependencies, { ociRuntime: undefined }, started));
    const isStore = (value: unknown) => typeof value === "object" && value !== null && "prepareRootfs" in value;
    assert.ok(kept.some(isStore), "the image store, which has nothing to do with the pause program");
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
