import assert from "node:assert/strict";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import {
  CapabilitySchema,
  create,
  DeviceSchema,
  Int64ValueSchema,
  LinuxContainerSecurityContextSchema,
  type MessageInitShape,
  NamespaceMode,
  NamespaceOptionSchema,
  SecurityProfile_ProfileType,
  SecurityProfileSchema,
  SupplementalGroupsPolicy,
} from "@hawser/cri";
import { sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

type Security = Exclude<MessageInitShape<typeof LinuxContainerSecurityContextSchema>, { $typeName: string }>;

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`security over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
    });
    after(() => runtime?.[Symbol.asyncDispose]());

    /** What a script says in a container of this security context, in its own process and in an exec. */
    async function inside(security: Security, script: string, more: Parameters<typeof startContainer>[1] = {}) {
      const namespaceOptions = create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });
      const securityContext = create(LinuxContainerSecurityContextSchema, { namespaceOptions, ...security });
      const { podSandboxId, containerId } = await startContainer(
        runtime.cri,
        { linux: { securityContext }, ...more },
        sandboxConfig({ linux: { securityContext: { privileged: security.privileged ?? false } } }),
      );
      try {
        return await sh(runtime.cri, containerId, script);
      } finally {
        await runtime.cri.runtime.removePodSandbox({ podSandboxId });
      }
    }
    const capabilities = async (security: Security) => {
      const { stdout } = await inside(security, "grep Cap /proc/self/status /proc/1/status");
      const sets = Object.fromEntries(
        [...stdout.matchAll(/\/proc\/(\w+)\/status:(Cap\w+):\s+([0-9a-f]+)/g)].map(([, who, set, hex]) => [
          `${who} ${set}`,
          BigInt(`0x${hex}`),
        ]),
      );
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
        assert.equal(sets[`self ${set}`], sets[`1 ${set}`], `an exec has the container's ${set}`);
      }
      return {
        effective: sets["1 CapEff"] ?? 0n,
        inheritable: sets["1 CapInh"] ?? 0n,
        ambient: sets["1 CapAmb"] ?? 0n,
      };
    };
    const [netAdmin, chown, sysAdmin] = [1n << 12n, 1n << 0n, 1n << 21n];

    it("grants the default capabilities, and adds and drops", async () => {
      const plain = await capabilities({});
      assert.equal(plain.effective, 0xa80425fbn);
      assert.equal(plain.inheritable, 0n);
      const added = await capabilities({ capabilities: create(CapabilitySchema, { addCapabilities: ["NET_ADMIN"] }) });
      assert.equal(added.effective, 0xa80425fbn | netAdmin);
      const only = await capabilities({
        capabilities: create(CapabilitySchema, { addCapabilities: ["CHOWN"], dropCapabilities: ["ALL"] }),
      });
      assert.equal(only.effective, chown);
    });

    it("grants what it has itself for ALL and for privileged", async () => {
      for (const security of [
        { privileged: true },
        { capabilities: create(CapabilitySchema, { addCapabilities: ["ALL"] }) },
      ]) {
        const { effective } = await capabilities(security);
        assert.ok((effective & (netAdmin | sysAdmin)) === (netAdmin | sysAdmin));
      }
    });

    it("runs as the user, group and supplemental groups asked for", async () => {
      const id = "echo $(id -u) $(id -g) $(id -G) $HOME";
      const value = (number: bigint) => create(Int64ValueSchema, { value: number });
      assert.equal((await inside({}, id)).stdout, "0 0 0 /root\n");
      assert.equal((await inside({ runAsUser: value(1000n) }, id)).stdout, "1000 1000 1000 2000 /home/web\n");
      assert.equal((await inside({ runAsUsername: "web" }, id)).stdout, "1000 1000 1000 2000 /home/web\n");
      const given = { runAsUser: value(4711n), runAsGroup: value(4712n), supplementalGroups: [5000n, 5001n] };
      assert.equal((await inside(given, id)).stdout, "4711 4712 4712 5000 5001 /\n");
      const strict = { runAsUser: value(1000n), supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict };
      assert.equal((await inside(strict, id)).stdout, "1000 1000 1000 /home/web\n");
      await assert.rejects(inside({ runAsUsername: "nobody-here" }, id), { code: 3 });
    });

    it("makes the root filesystem read-only", async () => {
      const { stderr, exitCode } = await inside({ readonlyRootfs: true }, "echo x > /file");
      assert.match(stderr, /[Rr]ead-only/);
      assert.notEqual(exitCode, 0);
    });

    it("sets no_new_privs, seccomp, masked and read-only paths", async () => {
      const seccomp = create(SecurityProfileSchema, { profileType: SecurityProfile_ProfileType.RuntimeDefault });
      const security = {
        noNewPrivs: true,
        seccomp,
        maskedPaths: ["/proc/kcore", "/sys/firmware"],
        readonlyPaths: ["/proc/sys"],
      };
      const script =
        "grep -h -E 'NoNewPrivs|Seccomp:' /proc/self/status /proc/1/status; head -c 1 /proc/kcore | wc -c; echo x > /proc/sys/kernel/hostname";
      const { stdout, stderr } = await inside(security, script);
      assert.equal(stdout, "NoNewPrivs:\t1\nSeccomp:\t2\nNoNewPrivs:\t1\nSeccomp:\t2\n0\n");
      assert.match(stderr, /[Rr]ead-only/);
      assert.match((await inside({}, "grep Seccomp: /proc/1/status")).stdout, /\t0\n/);
      // What the default profile forbids fails; threads and processes work.
      const forbidden = await inside({ seccomp }, "mount -t tmpfs x /tmp; (echo forked) & wait");
      assert.match(forbidden.stderr, /permitted|denied/);
      assert.equal(forbidden.stdout, "forked\n");
    });

    it("takes a local seccomp profile, and refuses one that is not there", async () => {
      const directory = await mkdtemp(path.join(tmpdir(), "hawser-seccomp-"));
      const localhostRef = path.join(directory, "profile.json");
      const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 };
      await writeFile(localhostRef, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }));
      const profileType = SecurityProfile_ProfileType.Localhost;
      const { stderr } = await inside(
        { seccomp: create(SecurityProfileSchema, { profileType, localhostRef }) },
        "mkdir /tmp/x",
      );
      assert.match(stderr, /not permitted/);
      const missing = create(SecurityProfileSchema, { profileType, localhostRef: path.join(directory, "none") });
      await assert.rejects(inside({ seccomp: missing }, "true"), { code: 3 });
      await rm(directory, { recursive: true });
    });

    it("gives devices as asked, and the node's to a privileged container", async () => {
      const devices = [create(DeviceSchema, { hostPath: "/dev/fuse", containerPath: "/dev/mine", permissions: "rwm" })];
      const { stdout } = await inside({}, "stat -c '%F %t %T' /dev/mine; test -e /dev/kmsg && echo kmsg", { devices });
      assert.equal(stdout, "character special file a e5\n");
      assert.equal((await inside({ privileged: true }, "test -e /dev/kmsg && echo kmsg")).stdout, "kmsg\n");
      assert.match((await inside({ privileged: true }, "grep ' /sys ' /proc/mounts")).stdout, /\brw\b/);
      assert.match((await inside({}, "grep ' /sys ' /proc/mounts")).stdout, /\bro\b/);
    });

    it("clamps oom_score_adj to what it may give", async () => {
      const pidOne = create(LinuxContainerSecurityContextSchema, {
        namespaceOptions: create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER }),
      });
      for (const [asked, check] of [
        [-500n, (score: number) => score >= -500 && score <= 0],
        [700n, (score: number) => score === 700],
      ] as const) {
        const linux = { resources: { oomScoreAdj: asked }, securityContext: pidOne };
        const { podSandboxId, containerId } = await startContainer(runtime.cri, { linux });
        const { stdout } = await sh(runtime.cri, containerId, "cat /proc/1/oom_score_adj");
        assert.ok(check(Number(stdout)), stdout);
        await runtime.cri.runtime.removePodSandbox({ podSandboxId });
      }
    });

    it("leaks no descriptor of its own into containers and execs", async () => {
      const { stdout } = await inside({}, "for p in 1 self; do ls /proc/$p/fd | tr '\\n' ' '; done");
      assert.equal(stdout, "0 1 2 0 1 2 3 ", "3 is the directory that ls reads");
    });

    it("refuses names and paths that lead elsewhere", async () => {
      const before = (await runtime.cri.runtime.listContainers({})).containers.length;
      await assert.rejects(
        inside({ capabilities: create(CapabilitySchema, { addCapabilities: ["NO_SUCH"] }) }, "true"),
        {
          code: 3,
        },
      );
      await assert.rejects(inside({}, "true", { workingDir: "relative" }), { code: 3 });
      const above = await inside({}, "pwd", { workingDir: "/a/../../../../tmp/hawser-outside" });
      assert.equal(above.stdout.trim(), "/tmp/hawser-outside");
      await assert.rejects(access("/tmp/hawser-outside"), { code: "ENOENT" }); // the container's, not the node's
      assert.equal((await runtime.cri.runtime.listContainers({})).containers.length, before);
    });
  });
}
