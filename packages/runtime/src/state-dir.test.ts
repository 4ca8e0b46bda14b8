import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { silentLogger } from "@hawser/trace";
import { takeDirectories } from "./directories.ts";
import { removeEverything, startRuntime } from "./index.ts";
import { pathsOf } from "./paths.ts";
import { letThrough, makeStateDir, removeEmptyState, removeState } from "./state-dir.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-state-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

for (const [name, remove] of Object.entries({ removeState, removeEmptyState })) {
  test(`${name}: a state directory that was made goes, with the ones above it that were made for it, and no more`, () =>
    inFolder(async (folder) => {
      const paths = pathsOf(path.join(folder, "root"), path.join(folder, "a/b/state"));
      await mkdir(path.join(folder, "a"));
      const made = await makeStateDir(paths);
      assert.equal(made, path.join(folder, "a/b"));
      for (const directory of [paths.ociRoot, paths.netns]) await mkdir(directory);
      await remove(paths, made);
      assert.deepEqual(await readdir(folder, { recursive: true }), ["a"]);
      await remove(paths, made); // again
      assert.deepEqual(await readdir(folder), ["a"]);
    }));

  test(`${name}: a state directory that was there stays, empty or not`, () =>
    inFolder(async (folder) => {
      const paths = pathsOf(path.join(folder, "root"), path.join(folder, "state"));
      await mkdir(paths.stateDir);
      const made = await makeStateDir(paths);
      assert.equal(made, undefined);
      await mkdir(paths.exits);
      await remove(paths, made);
      assert.deepEqual(await readdir(folder, { recursive: true }), ["state"]);
    }));
}

test("removeState: what is not the runtime's own stays in the state directory", () =>
  inFolder(async (folder) => {
    const paths = pathsOf(path.join(folder, "root"), path.join(folder, "state"));
    const made = await makeStateDir(paths);
    for (const directory of [paths.exits, path.join(paths.stateDir, "another")]) await mkdir(directory);
    for (const directory of await readdir(paths.stateDir)) {
      await writeFile(path.join(paths.stateDir, directory, "file"), "x");
    }
    await removeState(paths, made);
    assert.deepEqual((await readdir(folder, { recursive: true })).sort(), [
      "state",
      "state/another",
      "state/another/file",
    ]);
  }));

test("removeEmptyState: what is in use stays", () =>
  inFolder(async (folder) => {
    const paths = pathsOf(path.join(folder, "root"), path.join(folder, "state"));
    const made = await makeStateDir(paths);
    for (const directory of [paths.exits, paths.ipam]) await mkdir(directory);
    await writeFile(path.join(paths.exits, "x"), "0");
    await removeEmptyState(paths, made);
    assert.deepEqual((await readdir(folder, { recursive: true })).sort(), ["state", "state/exits", "state/exits/x"]);
  }));

test("letThrough: others pass, and nothing else changes; what anybody may write is refused and stays as it is", () =>
  inFolder(async (folder) => {
    for (const [before, after] of [
      [0o700, 0o711],
      [0o755, 0o755],
      [0o2750, 0o2751],
    ] as const) {
      await chmod(folder, before);
      await letThrough(folder);
      assert.equal((await stat(folder)).mode & 0o7777, after);
    }
    await chmod(folder, 0o1777); // as /tmp
    await assert.rejects(letThrough(folder), { message: /can be written by anybody/ });
    assert.equal((await stat(folder)).mode & 0o7777, 0o1777);
  }));

test("startRuntime: a start that fails at what the host lacks leaves no state directory, nor what is above it", () =>
  inFolder(async (folder) => {
    const start = startRuntime({
      root: path.join(folder, "root"),
      socketPath: path.join(folder, "cri.sock"),
      config: { stateDir: path.join(folder, "above/state"), conmonProgram: "/no/such/conmon" },
      log: silentLogger,
    });
    await assert.rejects(start, { message: /conmon/ });
    assert.deepEqual(await readdir(folder), ["root"]);
  }));

for (const [name, kept] of [
  ["is removed", false],
  ["stays when it is to be kept", true],
] as const) {
  test(`takeDirectories: what was made of the state directory ${name}`, () =>
    inFolder(async (folder) => {
      const paths = pathsOf(path.join(folder, "root"), path.join(folder, "above/state"));
      {
        await using taken = await takeDirectories(paths);
        assert.equal(taken.stateMade, path.join(folder, "above"));
        if (kept) taken.keep();
      }
      assert.deepEqual(await readdir(folder), kept ? ["above", "root"] : ["root"]);
    }));
}

test("startRuntime: one whose root is another's makes no directory", () =>
  inFolder(async (folder) => {
    const root = path.join(folder, "root");
    await using _other = await takeDirectories(pathsOf(root, path.join(folder, "state")));
    const before = (await readdir(folder, { recursive: true })).sort();
    const config = { stateDir: path.join(folder, "above/another") };
    const start = startRuntime({ root, socketPath: path.join(folder, "cri.sock"), config, log: silentLogger });
    await assert.rejects(start, { message: /runtime root .* is in use by process \d+/ });
    assert.deepEqual((await readdir(folder, { recursive: true })).sort(), before);
  }));

test("startRuntime, removeEverything: another's state directory is refused, and stays as it is", () =>
  inFolder(async (folder) => {
    const [root, stateDir] = [path.join(folder, "root"), path.join(folder, "state")];
    const all = async () => (await readdir(stateDir, { recursive: true })).sort();
    await using _other = await takeDirectories(pathsOf(path.join(folder, "other"), stateDir));
    const before = await all();
    const start = startRuntime({
      root,
      socketPath: path.join(folder, "cri.sock"),
      config: { stateDir },
      log: silentLogger,
    });
    const message = /state directory .* is in use by another runtime/;
    await assert.rejects(start, { message });
    await writeFile(path.join(root, "runtime.json"), JSON.stringify({ stateDir }));
    await assert.rejects(removeEverything(root), { message });
    assert.deepEqual(await all(), before);
  }));
