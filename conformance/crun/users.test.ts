// Pods with users of their own: root inside is somebody without rights on the node.
import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { exitCode } from "@hawser/api";
import { NamespaceMode } from "@hawser/cri";
import { eventually } from "@hawser/testing";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openExec, textOf } from "./support/session.ts";

const first = 3_000_000;
const ids = [{ hostId: first, containerId: 0, length: 65_536 }];
const users = { mode: NamespaceMode.POD, uids: ids, gids: ids };

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`user namespaces over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
    });
    after(() => runtime?.[Symbol.asyncDispose]());
    const podOf = (usernsOptions: object = users, more: object = {}) =>
      sandboxConfig({ linux: { securityContext: { namespaceOptions: { usernsOptions, ...more } } } });
    const start = (container: Parameters<typeof startContainer>[1] = {}) =>
      startContainer(runtime.cri, container, podOf());
    const remove = (podSandboxId: string) => runtime.cri.runtime.removePodSandbox({ podSandboxId });
    const pidOf = async (containerId: string) => {
      const { info } = await runtime.cri.runtime.containerStatus({ containerId, verbose: true });
      return (JSON.parse(info.info ?? "{}") as { pid: number }).pid;
    };

    it("root inside is another on the node, and the image's files are root's", async () => {
      const { podSandboxId, containerId } = await start();
      try {
        const pid = await pidOf(containerId);
        assert.match(await readFile(`/proc/${pid}/status`, "utf8"), new RegExp(`^Uid:\t${first}\t${first}`, "m"));
        assert.equal(
          (await readFile(`/proc/${pid}/uid_map`, "utf8")).trim().split(/\s+/).join(" "),
          `0 ${first} 65536`,
        );
        const { stdout, stderr } = await sh(
          runtime.cri,
          containerId,
          "id -u; stat -c '%u:%g %a' / /etc/passwd /tmp /bin/sh; echo mine > /new; stat -c %u /new; chmod 600 /etc/group && stat -c %u /etc/group",
        );
        assert.equal(stderr, "");
        assert.equal(stdout, "0\n0:0 755\n0:0 644\n0:0 1777\n0:0 755\n0\n0\n");
        const upper = path.join(runtime.root, "containers", containerId, "upper");
        assert.equal((await stat(path.join(upper, "new"))).uid, first);
        assert.equal((await stat(path.join(upper, "etc/group"))).uid, first);
      } finally {
        await remove(podSandboxId);
      }
      // The layers, which other containers use, are as they were.
      const plain = await startContainer(runtime.cri);
      assert.equal((await sh(runtime.cri, plain.containerId, "stat -c '%u:%g' /etc/passwd")).stdout, "0:0\n");
      await remove(plain.podSandboxId);
    });

    it("has its own network, /sys, /dev/shm, hostname, and devices", async () => {
      const { podSandboxId, containerId } = await start();
      try {
        const script = [
          "test -d /sys/class/net/eth0 && echo eth0",
          "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
          "echo x > /dev/shm/file && stat -c %u /dev/shm/file",
          "echo >> /etc/hosts && stat -c %u /etc/hosts /etc/resolv.conf",
          "head -c 3 /dev/zero | wc -c",
          "echo to the log > /dev/stderr",
        ];
        const { stdout, stderr } = await sh(runtime.cri, containerId, script.join("; "));
        assert.equal(stdout, "eth0\n1024\n0\n0\n0\n3\n");
        assert.equal(stderr, "to the log\n");
        const { status } = await runtime.cri.runtime.podSandboxStatus({ podSandboxId });
        assert.match(status?.network?.ip ?? "", /^10\./);
        const { uids, gids, mode } = status?.linux?.namespaces?.options?.usernsOptions ?? {};
        assert.equal(mode, NamespaceMode.POD);
        assert.partialDeepStrictEqual({ uids, gids }, { uids: ids, gids: ids });
      } finally {
        await remove(podSandboxId);
      }
    });

    it("has no right on the node: not over its files, nor over its mounts", async () => {
      const directory = await mkdtemp(path.join(tmpdir(), "hawser-users-"));
      await chmod(directory, 0o755);
      await writeFile(path.join(directory, "secret"), "of the node", { mode: 0o600 });
      const mounts = [{ hostPath: directory, containerPath: "/node" }];
      const { podSandboxId, containerId } = await start({ mounts });
      try {
        const { stdout } = await sh(runtime.cri, containerId, "cat /node/secret; echo $?; stat -c %u /node/secret");
        assert.equal(stdout, "1\n65534\n");
      } finally {
        await remove(podSandboxId);
        await rm(directory, { recursive: true });
      }
    });

    it("a volume with the pod's mappings belongs to the same ids inside as on the node", async () => {
      const directory = await mkdtemp(path.join(tmpdir(), "hawser-users-"));
      await writeFile(path.join(directory, "file"), "of a volume", { mode: 0o600 });
      const mounts = [{ hostPath: directory, containerPath: "/volume", uidMappings: ids, gidMappings: ids }];
      const { podSandboxId, containerId } = await start({ mounts });
      try {
        const { stdout } = await sh(
          runtime.cri,
          containerId,
          "cat /volume/file; echo x > /volume/new; stat -c ' %u' /volume/new",
        );
        assert.equal(stdout, "of a volume 0\n");
        assert.equal((await stat(path.join(directory, "new"))).uid, 0, "on the disk it is root's");
      } finally {
        await remove(podSandboxId);
        await rm(directory, { recursive: true });
      }
    });

    it("runs as the user asked for, in a directory that is made, with a terminal", async () => {
      const { podSandboxId, containerId } = await start({
        workingDir: "/made/for/it",
        linux: { securityContext: { runAsUser: { value: 1000n } } },
      });
      try {
        const { stdout } = await sh(runtime.cri, containerId, "id -u; id -G; pwd; stat -c %u .");
        assert.equal(stdout, "1000\n1000 2000\n/made/for/it\n0\n");
        const session = await openExec(runtime.cri, { containerId, cmd: ["sh", "-c", "tty; id -u"], tty: true });
        assert.match(await textOf(session.stdout), /^\/dev\/pts\/\d+\r\n1000\r\n$/);
        assert.equal(exitCode(await session.status), 0);
      } finally {
        await remove(podSandboxId);
      }
    });

    it("opens its own outputs anew, as many images do for their logs", async () => {
      const logs = await mkdtemp(path.join(tmpdir(), "hawser-users-"));
      const sandbox = { ...podOf(), logDirectory: logs };
      const command = ["sh", "-c", "echo one > /dev/stderr; echo two > /dev/stdout; exec sleep 1000"];
      const { podSandboxId } = await startContainer(runtime.cri, { command, logPath: "main.log" }, sandbox);
      try {
        const log = await eventually(async () => {
          const text = await readFile(path.join(logs, "main.log"), "utf8").catch(() => "");
          return text.includes("one") && text.includes("two") && text;
        });
        assert.match(log, /stderr F one\n/);
        assert.match(log, /stdout F two\n/);
      } finally {
        await remove(podSandboxId);
        await rm(logs, { recursive: true });
      }
    });

    it("outlives the runtime", async () => {
      const { podSandboxId, containerId } = await start();
      await runtime.restart();
      try {
        assert.equal((await sh(runtime.cri, containerId, "stat -c %u /etc/passwd")).stdout, "0\n");
        const { containerId: second } = await runtime.cri.runtime.createContainer({
          podSandboxId,
          config: { metadata: { name: "second" }, image: { image } },
          sandboxConfig: podOf(),
        });
        await runtime.cri.runtime.startContainer({ containerId: second });
        assert.equal((await sh(runtime.cri, second, "stat -c %u /etc/passwd")).stdout, "0\n");
      } finally {
        await remove(podSandboxId);
      }
    });

    it("is removed with everything else, though it still runs", async () => {
      const other = await startTestRuntime({ ociRuntime });
      let containerId = "";
      let pid = 0;
      try {
        ({ containerId } = await startContainer(other.cri, {}, podOf()));
        const { info } = await other.cri.runtime.containerStatus({ containerId, verbose: true });
        ({ pid } = JSON.parse(info.info ?? "{}") as { pid: number });
      } finally {
        await other[Symbol.asyncDispose]();
      }
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "State:\tZ");
      assert.match(status, /^State:\tZ/m, "gone, or not yet reaped");
      const mounts = await readFile("/proc/self/mountinfo", "utf8");
      assert.ok(!mounts.includes(other.root) && !mounts.includes(containerId));
    });

    it("refuses what cannot be, and leaves nothing", async () => {
      const run = (options: object, more: object = {}) =>
        runtime.cri.runtime.runPodSandbox({ config: podOf(options, more) });
      for (const network of ["network", "pid", "ipc"]) {
        await assert.rejects(run(users, { [network]: NamespaceMode.NODE }), { code: 3 });
      }
      await assert.rejects(run({ mode: NamespaceMode.POD, uids: [], gids: [] }), { code: 3 });
      await assert.rejects(run({ ...users, mode: NamespaceMode.TARGET }), { code: 3 });
      await assert.rejects(run({ ...users, mode: NamespaceMode.NODE }), { code: 3 });
      await assert.rejects(run({ ...users, uids: [...ids, ...ids] }), { code: 3, message: /overlap/ });
      const { items } = await runtime.cri.runtime.listPodSandbox({});
      assert.deepEqual(items, []);
      const { runtimeHandlers } = await runtime.cri.runtime.status({});
      assert.ok(runtimeHandlers.every(({ features }) => features?.userNamespaces));
    });
  });
}
