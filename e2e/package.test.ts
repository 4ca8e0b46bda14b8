// `make package`: the tarball, installed into a clean prefix by npm, is a working hawser.
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checkout, freePort, must, newestKubectl, run, runKubectl } from "@hawser/testing";

describe("the package", () => {
  let folder: string;
  let hawser: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-package-"));
    await must(["make", "package", `PACKAGE_DIR=${folder}`], { cwd: checkout, timeoutMs: 120_000 });
    const tarball = (await readdir(folder)).find((name) => /^hawser-.*\.tgz$/.test(name));
    assert.ok(tarball);
    const prefix = join(folder, "prefix");
    const install = ["npm", "install", "--global", "--prefix", prefix, "--no-audit", "--no-fund", "--prefer-offline"];
    await must([...install, join(folder, tarball)], { cwd: folder, timeoutMs: 120_000 });
    hawser = join(prefix, "bin/hawser");
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it("says its version and its help", async () => {
    const { version } = JSON.parse(await readFile(join(checkout, "packages/hawser/package.json"), "utf8"));
    assert.match(await must([hawser, "version"]), new RegExp(`hawser ${version.replaceAll(".", "\\.")} `));
    assert.match(await must([hawser, "--help"]), /^ {2}up /m);
    for (const hop of ["apiserver", "kubelet", "runtime", "image", "node", "ps", "up", "exec"]) {
      assert.match(await must([hawser, hop, "--help"]), /\S/);
    }
  });

  it("starts a cluster that kubectl can use, and takes it down", async () => {
    const dataDir = join(folder, "data");
    const ports = ["--api-port", String(await freePort()), "--kubelet-port", String(await freePort())];
    try {
      await must([hawser, "up", "--data-dir", dataDir, ...ports]);
      const kubeconfig = join(dataDir, "kubeconfig");
      const { stdout } = await runKubectl(await newestKubectl(), ["get", "nodes"], { kubeconfig });
      assert.match(stdout, / Ready /);
      assert.equal((await run([hawser, "--kubeconfig", kubeconfig, "get", "pods"])).code, 0);
      assert.match(await readFile(join(dataDir, "log/runtime.log"), "utf8"), /execs go through hawser-exec\n/);
    } finally {
      await must([hawser, "down", "--data-dir", dataDir]);
    }
  });

  it("brings the runtime's unit, and a configuration that is the program's own", async () => {
    const packaging = join(folder, "prefix/lib/node_modules/hawser/packaging");
    assert.deepEqual((await readdir(packaging)).sort(), ["hawser-runtime.service", "hawser-runtime.yaml"]);
    const config = await readFile(join(packaging, "hawser-runtime.yaml"), "utf8");
    assert.equal(await must([hawser, "runtime", "--default-config"]), config);
  });

  it("has no dependency but the two that bring machine code", async () => {
    const home = join(folder, "prefix/lib/node_modules/hawser");
    const manifest = JSON.parse(await readFile(join(home, "package.json"), "utf8"));
    assert.deepEqual(Object.keys(manifest.dependencies), ["koffi", "node-unix-socket"]);
    assert.deepEqual(
      (await readdir(join(home, "dist"))).filter((name) => name.endsWith(".ts")),
      [],
    );
  });

  it("with an older Node: one clear line, exit code 1", async (t) => {
    const old = (await run(["/bin/sh", "-c", "PATH=/usr/local/bin:/usr/bin:/bin command -v node"])).stdout.trim();
    const version = old ? (await run([old, "--version"])).stdout.trim() : "";
    if (!/^v(1\d|2[0-3])\./.test(version)) return t.skip(`no older Node on this machine (${version || "none"})`);
    const bin = join(folder, "old");
    await run(["mkdir", "-p", bin]);
    await symlink(old, join(bin, "node"));
    const { code, stdout, stderr } = await run([hawser, "get", "pods"], { env: { PATH: `${bin}:/usr/bin:/bin` } });
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^hawser needs Node 24\\.15 or later, and this is ${version} .*\n$`));
  });
});
