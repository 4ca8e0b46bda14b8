import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { completeConfig, defaultConfig, type PartialConfig, readConfigFile } from "./config.ts";
import { readCommandLine } from "./flags.ts";
import { pathsOf } from "./paths.ts";

test("completeConfig: what is given over the defaults", () => {
  assert.deepEqual(completeConfig({}), defaultConfig);
  const config = completeConfig({ podCIDR: "10.1.0.0/16", exec: { graceSeconds: 5 } });
  assert.deepEqual([config.podCIDR, config.exec.graceSeconds, config.exec.drainSeconds], ["10.1.0.0/16", 5, 0.25]);
});

for (const [name, given] of [
  ["an unknown setting", { nonsense: 1 }],
  ["an unknown setting inside", { exec: { nonsense: 1 } }],
  ["an unknown setting of images", { images: { nonsense: 1 } }],
  ["a value of another type", { podCIDR: 5 }],
  ["a value in place of settings", { exec: "x" }],
  ...["x", "10.0.0.0/99", "10.0.0.0/31", "300.0.0.0/24", "fd00::/64", "10.0.0.0", "10.0.0.0/24/24"].map(
    (podCIDR): [string, object] => [`${podCIDR} for pods`, { podCIDR }],
  ),
] as [string, object][]) {
  test(`completeConfig: ${name} is refused`, () =>
    assert.throws(() => completeConfig(given as PartialConfig), /setting/));
}

test("readCommandLine: flags win over the file", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-config-"));
  const file = path.join(directory, "config.yaml");
  try {
    await writeFile(
      file,
      "podCIDR: 10.1.0.0/16\ncniBinDir: /cni\nimages:\n  mirrors:\n    docker.io: [http://127.0.0.1:5000]\n",
    );
    const line = await readCommandLine([
      "--root",
      "/r",
      "--socket",
      "/s",
      "--config",
      file,
      "--pod-cidr",
      "10.2.0.0/16",
      "-v",
      "4",
    ]);
    assert.ok(line !== "help");
    assert.deepEqual([line.options.root, line.options.socketPath, line.verbosity], ["/r", "/s", 4]);
    assert.deepEqual([line.options.config?.podCIDR, line.options.config?.cniBinDir], ["10.2.0.0/16", "/cni"]);
    assert.deepEqual(line.options.config?.images?.mirrors, { "docker.io": ["http://127.0.0.1:5000"] });
    await writeFile(file, "nonsense: 1\n");
    await assert.rejects(readConfigFile(file), /config\.yaml: unknown setting "nonsense"/);
  } finally {
    await rm(directory, { recursive: true });
  }
});

for (const [argv, message] of [
  [["--socket", "/s"], /--root/],
  [["--root", "/r"], /--socket/],
  [["--root", "/r", "--socket", "/s", "--oci-runtime", "kata"], /crun or runc/],
  [["--root", "/r", "--socket", "/s", "-v", "x"], /-v/],
  [["--nonsense"], /nonsense/],
] as [string[], RegExp][]) {
  test(`readCommandLine: refuses ${argv.join(" ")}`, async () => assert.rejects(readCommandLine(argv), message));
}

test("pathsOf: names that the whole node sees differ by root", () => {
  const [a, b] = [pathsOf("/a", ""), pathsOf("/b", "")];
  assert.notEqual(a.stateDir, b.stateDir);
  assert.match(a.stateDir, /^\/run\/hawser\/[0-9a-f]{8}$/);
  assert.ok(`${a.sockets}/${"0".repeat(64)}/attach`.length < 108, "a socket's path has 107 bytes at most");
});
