// bin/hawser.cjs under an older Node: it runs the program with the pinned one and ends as that ends.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it, type TestContext } from "node:test";
import { background, checkout, childrenOf, eventually, processes, run } from "@hawser/testing";

const program = join(checkout, "packages/hawser/bin/hawser.cjs");

describe("the launcher", () => {
  let old = "";
  let version = "";
  before(async () => {
    old = (await run(["/bin/sh", "-c", "PATH=/usr/local/bin:/usr/bin:/bin command -v node"])).stdout.trim();
    version = old ? (await run([old, "--version"])).stdout.trim() : "";
  });
  const unlessOld = (t: TestContext) => {
    if (/^v(1\d|2[0-3])\./.test(version)) return false;
    t.skip(`no older Node on this machine (${version || "none"})`);
    return true;
  };

  it("runs the pinned Node, and its exit code is the program's", async (t) => {
    if (unlessOld(t)) return;
    const { stdout, code } = await run([old, program, "version"]);
    assert.match(stdout, /\(Node v24\./);
    assert.equal(code, 0);
    assert.equal((await run([old, program, "up", "--nonsense"])).code, 1);
  });

  it("tells that its output could not be written, and is silent where nobody reads", async () => {
    const command = `${process.execPath} ${program} --help`;
    const full = await run(["/bin/sh", "-c", `${command} >/dev/full`]);
    assert.match(full.stderr, /^error: write \/dev\/stdout: ENOSPC/);
    assert.equal(full.code, 1);
    assert.equal((await run(["/bin/sh", "-c", `${command} >/dev/full 2>/dev/full`])).code, 1);
    assert.equal((await run(["/bin/bash", "-c", `${command} | true; exit \${PIPESTATUS[0]}`])).stderr, "");
  });

  it("keeps compiled code in a home of one's own, and takes none from another user's", async (t) => {
    if (process.geteuid?.() !== 0) return t.skip("needs root, which can give a home away");
    const home = await mkdtemp(join(tmpdir(), "hawser-launcher-"));
    const cache = join(home, ".cache/hawser");
    try {
      const env = { HOME: home, XDG_CACHE_HOME: "", NODE_COMPILE_CACHE: "" };
      const hawser = () => run([process.execPath, program, "version"], { env });
      await chown(home, 65534, 65534);
      assert.equal((await hawser()).code, 0);
      assert.equal(existsSync(cache), false);
      await chown(home, 0, 0);
      assert.equal((await hawser()).code, 0);
      assert.equal(existsSync(cache), true);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });

  it("passes signals on: SIGTERM ends the daemon in order", async (t) => {
    if (unlessOld(t)) return;
    const dir = await mkdtemp(join(tmpdir(), "hawser-launcher-"));
    try {
      await using server = background([old, program, "apiserver", "--data-dir", dir, "--port", "0"]);
      await server.saw("hawser-apiserver ready");
      const [child] = await childrenOf(server.pid);
      assert.ok(child);
      server.child.kill("SIGTERM");
      assert.deepEqual(await server.exit, { code: 0, signal: null });
      assert.equal(
        (await processes()).some(({ pid }) => pid === child),
        false,
      );
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it("dies of the signal that the program died of", async (t) => {
    if (unlessOld(t)) return;
    const dir = await mkdtemp(join(tmpdir(), "hawser-launcher-"));
    try {
      await using server = background([old, program, "apiserver", "--data-dir", dir, "--port", "0"]);
      await server.saw("hawser-apiserver ready");
      const child = await eventually("its child", async () => (await childrenOf(server.pid))[0]);
      process.kill(child, "SIGKILL");
      assert.deepEqual(await server.exit, { code: null, signal: "SIGKILL" });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
