// Known holes of container runtimes, each tried on ours. docs/security.md has the reasons.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { NamespaceMode } from "@hawser/cri";
import { findProgram } from "../../packages/runtime/src/oci/probe.ts";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`known holes over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    let directory: string;
    const stack = new AsyncDisposableStack();
    before(async () => {
      directory = await mkdtemp(path.join(tmpdir(), "hawser-cve-"));
      stack.defer(() => rm(directory, { recursive: true }));
      runtime = stack.use(await startTestRuntime({ ociRuntime }));
      await writeFile(path.join(directory, "marker"), "of the node");
    });
    after(() => stack.disposeAsync());
    const rpc = () => runtime.cri.runtime;
    const infoOf = async (containerId: string) => {
      const { info } = await rpc().containerStatus({ containerId, verbose: true });
      return JSON.parse(info.info ?? "{}") as { pid: number; conmonPid: number; runtimeSpec: { annotations?: object } };
    };

    it("CVE-2019-5736: a container cannot write to the program that enters it", async () => {
      const program = (await findProgram(ociRuntime)) ?? "";
      const digest = async () =>
        createHash("sha256")
          .update(await readFile(program))
          .digest("hex");
      const genuine = await digest();
      // Opens whatever runs here and is not of the image, and writes to it as soon as the kernel lets it (ETXTBSY before).
      const attack = `while :; do for p in /proc/[0-9]*; do
        case $(readlink $p/exe) in /usr/bin/*|/bin/*|"") ;;
        *) { exec 9< $p/exe && for n in 1 2 3; do echo overwritten > /proc/self/fd/9; sleep 0.05; done; } 2>/dev/null ;; esac
      done; sleep 0.01; done`;
      const own = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };
      const command = ["bash", "-c", attack];
      const { podSandboxId, containerId } = await startContainer(runtime.cri, { command, linux: own });
      try {
        for (let n = 0; n < 10; n++) {
          for (const cmd of [["/proc/self/exe"], ["sh", "-c", "exec /proc/self/exe -c true"]]) {
            await rpc().execSync({ containerId, cmd, timeout: 10n });
          }
        }
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
      assert.equal(await digest(), genuine);
    });

    it("the node's /dev/null keeps its mode and its owner, whoever has it as a stream", async () => {
      const genuine = await stat("/dev/null");
      // Its first process tries, and so does an exec; crun gives streams to the root of a pod's own users.
      const command = ["sh", "-c", "chmod 0662 /proc/self/fd/0; exec sleep 100000"];
      const { podSandboxId, containerId } = await startContainer(runtime.cri, { command });
      const ids = [{ hostId: 3_000_000, containerId: 0, length: 65_536 }];
      const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
      const users = sandboxConfig({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } });
      const mapped = await startContainer(runtime.cri, {}, users);
      const web = { securityContext: { runAsUser: { value: 1000n } } };
      const other = await startContainer(runtime.cri, { linux: web });
      try {
        const { stdout } = await sh(
          runtime.cri,
          containerId,
          "while grep -q sh /proc/1/comm; do :; done; stat -L -c %t:%T /proc/self/fd/0; chmod 0662 /proc/self/fd/0",
        );
        assert.equal(stdout, "1:3\n");
        // crun gives an exec's streams to its user.
        const said = await sh(runtime.cri, other.containerId, "echo gone >/dev/null; cat");
        assert.deepEqual(said, { stdout: "", stderr: "", exitCode: 0 });
        const { mode, uid, gid } = await stat("/dev/null");
        assert.deepEqual({ mode, uid, gid }, { mode: genuine.mode, uid: genuine.uid, gid: genuine.gid });
      } finally {
        await chmod("/dev/null", genuine.mode);
        await chown("/dev/null", genuine.uid, genuine.gid);
        for (const id of [podSandboxId, mapped.podSandboxId, other.podSandboxId])
          await rpc().removePodSandbox({ podSandboxId: id });
      }
    });

    it("CVE-2024-21626: no descriptor of ours leads out, nor does a working directory among them", async () => {
      const sandbox = sandboxConfig();
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {}, sandbox);
      try {
        const up = `${"../".repeat(12)}${directory}/marker`;
        for (const process of ["self", "1"]) {
          const found = await sh(
            runtime.cri,
            containerId,
            `for fd in /proc/${process}/fd/*; do cat $fd/${up} 2>/dev/null; done; echo none`,
          );
          assert.equal(found.stdout, "none\n");
        }
        for (let fd = 3; fd < 12; fd++) {
          const config = {
            metadata: { name: `cwd-${fd}` },
            image: { image },
            workingDir: `/proc/self/fd/${fd}`,
            command: ["sh", "-c", "sleep 1000"],
          };
          const made = await rpc()
            .createContainer({ podSandboxId, config, sandboxConfig: sandbox })
            .catch(() => undefined);
          if (!made) continue; // refused
          const cwd = await readlink(`/proc/${(await infoOf(made.containerId)).pid}/cwd`);
          const { runtimeSpec } = await infoOf(made.containerId);
          assert.ok(runtimeSpec);
          await assert.rejects(stat(path.join(cwd, "marker")), `descriptor ${fd} is ${cwd}`);
          await rpc().startContainer({ containerId: made.containerId });
          const { stdout } = await sh(
            runtime.cri,
            made.containerId,
            `cat ${up} /proc/1/cwd/${up} 2>/dev/null; echo none`,
          );
          assert.equal(stdout, "none\n");
        }
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
    });

    it("CVE-2022-0811: a sysctl's value sets no other", async () => {
      const pattern = await readFile("/proc/sys/kernel/core_pattern", "utf8");
      for (const [name, value] of [
        ["kernel.shm_rmid_forced", "1+kernel.core_pattern=|/tmp/evil"],
        ["kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/tmp/evil"],
        ["net/../kernel/core_pattern", "|/tmp/evil"],
        ["net.ipv4.../../../kernel/core_pattern", "|/tmp/evil"],
        ["kernel.core_pattern", "|/tmp/evil"],
        ["vm.overcommit_memory", "1"],
      ] as const) {
        const config = sandboxConfig({ linux: { sysctls: { [name]: value } } });
        await assert.rejects(rpc().runPodSandbox({ config }), `${name}=${value}`);
      }
      // The kernel takes the number, and no more.
      const linux = { sysctls: { "net.ipv4.ip_forward": "1 kernel.core_pattern=|/tmp/evil" } };
      const { podSandboxId } = await rpc().runPodSandbox({ config: sandboxConfig({ linux }) });
      await rpc().removePodSandbox({ podSandboxId });
      assert.equal(await readFile("/proc/sys/kernel/core_pattern", "utf8"), pattern);
      assert.deepEqual((await rpc().listPodSandbox({})).items, []);
    });

    it("CVE-2020-15257: nothing of ours listens where a pod on the node's network could reach it unasked", async () => {
      const onNode = { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } };
      const { podSandboxId, containerId } = await startContainer(runtime.cri, onNode, sandboxConfig(onNode));
      try {
        const sockets = (await readFile("/proc/net/unix", "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
        const abstract = new Set(sockets.filter((fields) => fields[7]?.startsWith("@")).map((fields) => fields[6]));
        for (const pid of [process.pid, (await infoOf(containerId)).conmonPid]) {
          for (const fd of await readdir(`/proc/${pid}/fd`)) {
            const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""))?.[1];
            assert.ok(!abstract.has(inode), `process ${pid} has an abstract socket`);
          }
        }
        const { url } = await rpc().exec({ containerId, cmd: ["true"], stdout: true });
        const guess = new URL(url);
        guess.pathname = "/exec/AAAAAAAA";
        assert.equal((await fetch(guess, { method: "POST" })).status, 404, "without its token the server does nothing");
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
    });

    it("CVE-2021-30465: a link in a volume leads a mount nowhere on the node", async () => {
      const volume = path.join(directory, "volume");
      await mkdir(volume);
      await symlink("/", path.join(volume, "link"));
      await symlink("/tmp", path.join(volume, "absolute"));
      const led = `led-${process.pid}`;
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        mounts: [
          { hostPath: volume, containerPath: "/volume" },
          { hostPath: "/usr", containerPath: `/volume/link/tmp/${led}-too`, readonly: true },
          { hostPath: "/usr", containerPath: `/volume/absolute/${led}`, readonly: true },
        ],
      });
      try {
        const { stdout } = await sh(
          runtime.cri,
          containerId,
          `test -d /tmp/${led}/bin; echo $?; test -d /tmp/${led}-too/bin; echo $?`,
        );
        assert.equal(stdout, "0\n0\n", "both lie inside, where the links lead there");
        assert.ok(!(await readFile("/proc/self/mountinfo", "utf8")).includes(led));
        for (const place of [`/tmp/${led}`, `/tmp/${led}-too`]) await assert.rejects(stat(place), { code: "ENOENT" });
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
        await rm(volume, { recursive: true });
      }
    });

    it("CVE-2024-3154: annotations of a pod are none of the OCI runtime's", async () => {
      const annotations = {
        "org.systemd.property.ExecStopPost": "['/bin/sh','-c','x']",
        "run.oci.hooks.stdout": "/tmp/x",
      };
      const { podSandboxId, containerId } = await startContainer(
        runtime.cri,
        { annotations },
        sandboxConfig({ annotations }),
      );
      try {
        assert.equal((await infoOf(containerId)).runtimeSpec.annotations, undefined);
        const pod = await rpc().podSandboxStatus({ podSandboxId, verbose: true });
        const { runtimeSpec } = JSON.parse(pod.info.info ?? "{}") as { runtimeSpec: { annotations?: object } };
        assert.equal(runtimeSpec.annotations, undefined);
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
    });
  });
}
