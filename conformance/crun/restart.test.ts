import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { glob, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { ContainerState, connectCRI, PodSandboxState, upload } from "@hawser/cri";
import { removeEverything } from "@hawser/runtime";
import { eventually, freePort } from "@hawser/testing";
import { inChunks, makeArchive } from "./support/image.ts";
import { image, sandboxConfig, sh, startContainer, testConfig } from "./support/runtime.ts";
import { openExec, textOf } from "./support/session.ts";

const execute = promisify(execFile);

/** What a test has started: a failed one must leave no runtime behind, which would keep this file from ending. */
const started = new Set<{ child: ChildProcess; ended: Promise<unknown> }>();

/** Ends every runtime, and removes all that they had. */
async function clearAway(root: string): Promise<void> {
  for (const { child, ended } of started) {
    child.kill("SIGKILL");
    await ended;
  }
  started.clear();
  await removeEverything(root);
}

/** `hawser runtime` as a process of its own, that can be killed. */
async function startProcess(root: string, podCIDR: string) {
  const program = 'import("@hawser/runtime/main").then(({ main }) => main(process.argv.slice(1))).then(process.exit)';
  const socketPath = path.join(root, "run.sock");
  const args = ["--input-type=module", "-e", program, "--", "--root", root, "--socket", socketPath];
  const child: ChildProcess = spawn(process.execPath, [...args, "--oci-runtime", "crun", "--pod-cidr", podCIDR], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  started.add({ child, ended });
  const slowness = Number(process.env.HAWSER_SLOWNESS ?? 1); // gRPC waits by the time of day, which conformance/vm leaves as it is
  const cri = await connectCRI({ endpoint: `unix://${socketPath}`, timeoutMs: 60_000 * slowness });
  return {
    cri,
    ended,
    async load() {
      const archive = await makeArchive({ name: image });
      await upload({ endpoint: `unix://${socketPath}`, path: "/hawser.v1.Images/Load", chunks: inChunks(archive) });
    },
    async end(signal: NodeJS.Signals) {
      cri.close();
      child.kill(signal);
      return await ended;
    },
  };
}

/** What a runtime of this root has on the node. */
async function traces(root: string): Promise<string[]> {
  const { stdout: rules } = await execute("iptables-save").catch(() => ({ stdout: "" }));
  const { stdout: links } = await execute("ip", ["-o", "link"]);
  const [mounts, pids] = [await readFile("/proc/self/mountinfo", "utf8"), await readdir("/proc")];
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256").update(root).digest("hex").slice(0, 8);
  const commands = await Promise.all(
    pids.filter((name) => /^\d+$/.test(name)).map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  const cgroups = await Array.fromAsync(glob(`/sys/fs/cgroup/{,*/}hawser-${hash}{,/**}`));
  return [
    ...rules.split("\n").filter((line) => line.includes(hash)),
    ...links.split("\n").filter((line) => line.includes(hash)),
    ...mounts.split("\n").filter((line) => line.includes(root) || line.includes(hash)),
    ...commands.filter((line) => line.includes("conmon") && line.includes(root)),
    ...cgroups,
  ];
}

describe("a runtime that is killed", { timeout: 90_000 }, () => {
  it("is followed by one that ends what its sessions were running, and not what a finished exec left", async () => {
    const root = await mkdtemp(path.join(tmpdir(), "hawser-crun-"));
    const { podCIDR } = testConfig();
    let current = await startProcess(root, podCIDR);
    try {
      const first = current;
      await first.load();
      const { containerId } = await startContainer(first.cri);
      const running = async () => {
        const { stdout } = await sh(current.cri, containerId, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
        return stdout.match(/(?<=sleep )471\d(?= )/g)?.sort();
      };
      assert.equal((await sh(first.cri, containerId, "sleep 4711 >/dev/null 2>&1 &")).exitCode, 0);
      const cmd = ["sh", "-c", "trap '' HUP; sleep 4712 & exec sleep 4713"];
      await using _session = await openExec(first.cri, { containerId, cmd });
      await eventually(async () => (await running())?.length === 3);
      await first.end("SIGKILL");

      current = await startProcess(root, podCIDR);
      assert.deepEqual(await running(), ["4711"]);
      const again = { containerId, cmd: ["sleep", "4714"] };
      await using session = await openExec(current.cri, again);
      await eventually(async () => (await running())?.length === 2);
      await session[Symbol.asyncDispose]();
      await eventually(async () => (await running())?.length === 1);
      assert.deepEqual(await running(), ["4711"]);
      assert.equal(await current.end("SIGTERM"), 0);
    } finally {
      await clearAway(root);
      assert.deepEqual(await traces(root), []);
      await rm(root, { recursive: true, force: true });
    }
  });

  it("is followed by one that finds everything, exit codes that fell in between included", async () => {
    const root = await mkdtemp(path.join(tmpdir(), "hawser-crun-"));
    const { podCIDR } = testConfig();
    try {
      const first = await startProcess(root, podCIDR);
      await first.load();
      const lives = await startContainer(first.cri, { command: ["sh", "-c", "echo kept >/tmp/file; sleep 100000"] });
      const ends = await startContainer(first.cri, { command: ["sh", "-c", "sleep 0.5; exit 42"] });
      const sandbox = sandboxConfig();
      const { podSandboxId } = await first.cri.runtime.runPodSandbox({ config: sandbox });
      const { containerId: created } = await first.cri.runtime.createContainer({
        podSandboxId,
        config: { metadata: { name: "c", attempt: 0 }, image: { image } },
        sandboxConfig: sandbox,
      });
      await first.end("SIGKILL");
      // Half-made things, as a crash in the middle leaves them.
      const half = "f".repeat(64);
      for (const kind of ["sandboxes", "containers"]) {
        await mkdir(path.join(root, kind, half));
        await writeFile(path.join(root, kind, half, "config.json"), "{}");
      }
      const conmonsOf = async (id: string) =>
        (await traces(root)).filter((line) => [root, "conmon", id].every((part) => line.includes(part))).length; // not its cgroup
      await eventually(async () => (await conmonsOf(ends.containerId)) === 0); // while nobody watches, one ends

      const second = await startProcess(root, podCIDR);
      const rpc = second.cri.runtime;
      const stateOf = async (containerId: string) => (await rpc.containerStatus({ containerId })).status;
      assert.equal((await stateOf(lives.containerId))?.state, ContainerState.CONTAINER_RUNNING);
      const ended = await stateOf(ends.containerId);
      assert.deepEqual([ended?.state, ended?.exitCode], [ContainerState.CONTAINER_EXITED, 42]);
      assert.equal((await stateOf(created))?.state, ContainerState.CONTAINER_CREATED);
      const { items } = await rpc.listPodSandbox({ filter: { state: { state: PodSandboxState.SANDBOX_READY } } });
      assert.equal(items.length, 3);
      assert.ok(!(await readdir(path.join(root, "containers"))).includes(half));
      assert.ok(!(await readdir(path.join(root, "sandboxes"))).includes(half));

      assert.equal((await sh(second.cri, lives.containerId, "cat /tmp/file")).stdout, "kept\n");
      await using session = await openExec(second.cri, { containerId: lives.containerId, cmd: ["echo", "again"] });
      const [stdout] = await Promise.all([textOf(session.stdout), textOf(session.stderr), session.status]);
      assert.equal(stdout, "again\n");
      await rpc.startContainer({ containerId: created });
      assert.equal((await sh(second.cri, created, "echo runs")).stdout, "runs\n");
      await rpc.stopContainer({ containerId: lives.containerId, timeout: 0n });
      assert.equal((await stateOf(lives.containerId))?.exitCode, 137);
      const third = await startContainer(second.cri);
      const ips = await Promise.all(
        [lives, third].map(async (each) => (await rpc.podSandboxStatus({ podSandboxId: each.podSandboxId })).status),
      );
      assert.notEqual(ips[0]?.network?.ip, ips[1]?.network?.ip);
      assert.equal(await second.end("SIGTERM"), 0);
    } finally {
      await clearAway(root);
      assert.deepEqual(await traces(root), []);
      await rm(root, { recursive: true });
    }
  });

  it("leaves nothing after removeEverything", async () => {
    const root = await mkdtemp(path.join(tmpdir(), "hawser-crun-"));
    const { podCIDR } = testConfig();
    const runtime = await startProcess(root, podCIDR);
    try {
      await runtime.load();
      const ports = [{ protocol: 0, containerPort: 80, hostPort: await freePort(), hostIp: "" } as never];
      await startContainer(runtime.cri, {}, sandboxConfig({ portMappings: ports }));
      const { containerId } = await startContainer(runtime.cri, { tty: true, stdin: true });
      const session = await openExec(runtime.cri, { containerId, cmd: ["sleep", "1000"], tty: true });
      session.status.catch(() => undefined);
      await assert.rejects(removeEverything(root), /in use/);
      assert.notEqual((await traces(root)).length, 0);
      await runtime.end("SIGKILL");
      await session[Symbol.asyncDispose]();
    } finally {
      await clearAway(root);
      await removeEverything(root);
    }
    assert.deepEqual(await traces(root), []);
    const { stdout } = await execute("iptables-save", ["-t", "nat"]);
    assert.doesNotMatch(stdout, new RegExp(podCIDR));
    await rm(root, { recursive: true });
  });

  it("has its root to itself", async () => {
    const root = await mkdtemp(path.join(tmpdir(), "hawser-crun-"));
    const { podCIDR } = testConfig();
    const runtime = await startProcess(root, podCIDR);
    try {
      const program =
        'import("@hawser/runtime/main").then(({ main }) => main(process.argv.slice(1))).then(process.exit)';
      const args = [
        "--input-type=module",
        "-e",
        program,
        "--",
        "--root",
        root,
        "--socket",
        path.join(root, "other.sock"),
      ];
      const second = execute(process.execPath, args, { cwd: import.meta.dirname });
      await assert.rejects(second, /in use by process \d+/);
    } finally {
      assert.equal(await runtime.end("SIGTERM"), 0);
      await clearAway(root);
      await rm(root, { recursive: true });
    }
  });
});
