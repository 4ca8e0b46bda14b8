import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { write as writeCallback } from "node:fs";
import { mkdtemp, open, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { completeConfig, defaultConfig, type PartialConfig, readConfigFile } from "./config.ts";
import { readPipe } from "./config-pipe.ts";
import { readConfiguration, readFlags } from "./flags.ts";
import { closeQuietly } from "./native/libc.ts";
import { openPipe } from "./native/pipe.ts";
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
  ["a slice that is too long for its pods'", { cgroupDriver: "systemd", cgroupParent: `${"a".repeat(182)}.slice` }],
  ["a value in place of settings", { exec: "x" }],
  ["a list in place of settings", { exec: [] }],
  ["a time before now", { exec: { graceSeconds: -1 } }],
  ["a time that is no number", { exec: { drainSeconds: Number.NaN } }],
  ["a time no timer can wait", { streaming: { idleTimeoutSeconds: 1e9 } }],
  ["half a port", { streaming: { port: 0.5 } }],
  ["a name of every object", { constructor: {} }],
  ["images that are no mapping", { images: "x" }],
  ["a relative directory of networks", { cniConfDir: "net.d" }],
  ["a relative directory of plugins", { cniBinDir: "/opt/cni/bin:cni" }],
  ["an unknown timeout", { images: { timeouts: { conect: 1 } } }],
  ...["0.0.0.0:9464", "192.168.1.1:9464", "example.com:80", "127.0.0.1", "127.0.0.1:99999", "unix:x", "[::]:1"].map(
    (address): [string, object] => [`metrics on ${address}`, { metrics: { address } }],
  ),
  ...[
    "x",
    "10.0.0.0/99",
    "10.0.0.0/31",
    "300.0.0.0/24",
    "fd00::/64",
    "10.0.0.0",
    "10.0.0.0/24/24",
    "127.0.0.0/8",
    "0.0.0.0/8",
    "224.0.0.0/8",
  ].map((podCIDR): [string, object] => [`${podCIDR} for pods`, { podCIDR }]),
] as [string, object][]) {
  test(`completeConfig: ${name} is refused`, () =>
    assert.throws(() => completeConfig(given as PartialConfig), /setting/));
}

for (const [given, hint] of [
  [{ verbositty: 1 }, 'unknown setting "verbositty"; did you mean "verbosity"?'],
  [{ podCidrs: "x" }, 'unknown setting "podCidrs"; did you mean "podCIDR"?'],
  [{ graceSeconds: 1 }, 'unknown setting "graceSeconds"; did you mean "exec.graceSeconds"?'],
  [{ image: {} }, 'unknown setting "image"; did you mean "images"?'],
  [{ images: { mirror: {} } }, 'unknown setting "images.mirror"; did you mean "images.mirrors"?'],
  [
    { images: { timeouts: { conect: 1 } } },
    'unknown setting "images.timeouts.conect"; did you mean "images.timeouts.connect"?',
  ],
  [{ qwertyuiop: 1 }, 'unknown setting "qwertyuiop"'],
] as [object, string][]) {
  test(`an unknown setting, with a hint: ${JSON.stringify(given)}`, () =>
    assert.throws(() => completeConfig(given as PartialConfig), { message: hint }));
}

test("a section with nothing in it is as good as none; metrics on loopback or a socket", () => {
  assert.deepEqual(completeConfig({ exec: null, images: null } as never), defaultConfig);
  for (const address of ["127.0.0.1:0", "127.8.8.8:9464", "[::1]:9464", "localhost:1", "unix:///run/x.sock"])
    assert.equal(completeConfig({ metrics: { address } }).metrics.address, address);
});

test("readFlags, readConfiguration: flags win over the file", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-config-"));
  const file = path.join(directory, "config.yaml");
  try {
    await writeFile(
      file,
      "podCIDR: 10.1.0.0/16\ncniBinDir: /cni\nimages:\n  mirrors:\n    docker.io: [http://127.0.0.1:5000]\n",
    );
    const argv = ["--root", "/r", "--socket", "/s", "--config", file, "--pod-cidr", "10.2.0.0/16", "-v", "4"];
    const flags = readFlags(argv);
    assert.ok("options" in flags);
    const line = await readConfiguration(flags);
    assert.equal(line.fromPipe, false);
    assert.deepEqual([line.options.root, line.options.socketPath, line.verbosity], ["/r", "/s", 4]);
    assert.deepEqual([line.options.config?.podCIDR, line.options.config?.cniBinDir], ["10.2.0.0/16", "/cni"]);
    assert.deepEqual(line.options.config?.images?.mirrors, { "docker.io": ["http://127.0.0.1:5000"] });
    await writeFile(file, "nonsense: 1\n");
    await assert.rejects(readConfigFile(file), /config\.yaml: unknown setting "nonsense"/);
    await writeFile(file, `# ${"x".repeat(1024 * 1024)}`);
    await assert.rejects(readConfigFile(file), /config\.yaml: larger than 1048576 bytes/);
    await assert.rejects(readConfigFile("/dev/zero"), /config file \/dev\/zero: is not a file/);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("readConfigFile: a pipe is read to its end, though its writer comes late, and bounded in size and time", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-config-"));
  const pipe = path.join(directory, "pipe");
  try {
    execFileSync("mkfifo", [pipe]);
    const reading = readConfigFile(pipe);
    await using writer = await open(pipe, "w"); // opens when the reader has
    await writer.write("verbosity:");
    await writer.write(" 3\n");
    await writer.close();
    assert.deepEqual(await reading, { config: { verbosity: 3 }, fromPipe: true });
    const late = { maxBytes: 10, timeoutMs: 50 };
    await assert.rejects(readPipe(pipe, late), { message: "is a pipe that has no end within 0.05 s" });
    const large = readPipe(pipe, { maxBytes: 10, timeoutMs: 10_000 });
    await Promise.all([assert.rejects(large, { message: "larger than 10 bytes" }), writeFile(pipe, "x".repeat(11))]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("readConfigFile: of a pipe given by its descriptor none stays open; one out of which nothing comes is no defaults", async () => {
  const { read, write } = openPipe();
  await promisify(writeCallback)(write, "verbosity: 2\n");
  closeQuietly(write);
  assert.deepEqual(await readConfigFile(`/dev/fd/${read}`), { config: { verbosity: 2 }, fromPipe: true });
  await assert.rejects(readlink(`/proc/self/fd/${read}`), { code: "ENOENT" });
  const empty = openPipe();
  closeQuietly(empty.write);
  try {
    await assert.rejects(readConfigFile(`/dev/fd/${empty.read}`), {
      message: `config file /dev/fd/${empty.read}: is a pipe, and nothing came out of it`,
    });
  } finally {
    closeQuietly(empty.read);
  }
});

for (const [argv, message] of [
  [["--socket", "/s"], /--root/],
  [["--root", "/r"], /--socket/],
  [["--root", "/r", "--socket", "/s", "--oci-runtime", "kata"], /crun or runc/],
  [["--root", "/r", "--socket", "/s", "-v", "x"], /-v/],
  [["--nonsense"], /nonsense/],
] as [string[], RegExp][]) {
  test(`readFlags: refuses ${argv.join(" ")}`, () => assert.throws(() => readFlags(argv), message));
}

test("pathsOf: names that the whole node sees differ by root", () => {
  const [a, b] = [pathsOf("/a", ""), pathsOf("/b", "")];
  assert.notEqual(a.stateDir, b.stateDir);
  assert.match(a.stateDir, /^\/run\/hawser\/[0-9a-f]{8}$/);
  assert.ok(`${a.sockets}/${"0".repeat(64)}/attach`.length < 108, "a socket's path has 107 bytes at most");
});
