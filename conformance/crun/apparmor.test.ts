// AppArmor where the kernel has it, by `make test-cgroup-v2`; where it has none, that this is said.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import {
  CapabilitySchema,
  create,
  LinuxContainerSecurityContextSchema,
  type MessageInitShape,
  NamespaceMode,
  NamespaceOptionSchema,
  SecurityProfile_ProfileType as ProfileType,
  SecurityProfileSchema,
} from "@hawser/cri";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

type Security = Exclude<MessageInitShape<typeof LinuxContainerSecurityContextSchema>, { $typeName: string }>;

const run = promisify(execFile);
const hasAppArmor = (await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N")).startsWith(
  "Y",
);
const profile = (profileType: ProfileType, localhostRef = "") =>
  create(SecurityProfileSchema, { profileType, localhostRef });
/** May do all, but not write below /tmp/closed. */
const local = "hawser-test-local";
const rules = `profile ${local} flags=(attach_disconnected) { file, capability, network, signal, ptrace, deny /tmp/closed/** w, }`;

// Without AppArmor the OCI runtime is not asked.
for (const ociRuntime of hasAppArmor ? (["crun", "runc"] as const) : (["crun"] as const)) {
  describe(`AppArmor over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
    });
    after(() => runtime?.[Symbol.asyncDispose]());

    /** What a script says in a container of this security context; `then` is done with it while it runs. */
    async function inside(security: Security, script: string, then?: (containerId: string) => Promise<void>) {
      const namespaceOptions = create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });
      const securityContext = create(LinuxContainerSecurityContextSchema, { namespaceOptions, ...security });
      const { privileged = false } = security;
      const sandbox = sandboxConfig({ linux: { securityContext: { privileged } } });
      const before = (await runtime.cri.runtime.listPodSandbox({})).items.length;
      try {
        const { containerId } = await startContainer(runtime.cri, { linux: { securityContext } }, sandbox);
        const said = await sh(runtime.cri, containerId, script);
        await then?.(containerId);
        return said;
      } finally {
        for (const { id } of (await runtime.cri.runtime.listPodSandbox({})).items.slice(before)) {
          await runtime.cri.runtime.removePodSandbox({ podSandboxId: id });
        }
      }
    }
    const labels = "cat /proc/1/attr/current /proc/self/attr/current";

    it("is refused by name where the kernel has none, and not missed where nobody asks", {
      skip: hasAppArmor,
    }, async () => {
      const config = sandboxConfig();
      const { podSandboxId } = await runtime.cri.runtime.runPodSandbox({ config });
      const make = (security: Security) =>
        runtime.cri.runtime.createContainer({
          podSandboxId,
          sandboxConfig: config,
          config: {
            metadata: { name: "confined" },
            image: { image },
            linux: { securityContext: create(LinuxContainerSecurityContextSchema, security) },
          },
        });
      const words = /apparmor is not supported: AppArmor is not enabled on the host/;
      for (const security of [
        { apparmor: profile(ProfileType.RuntimeDefault) },
        { apparmor: profile(ProfileType.Localhost, local) },
        { apparmorProfile: "runtime/default" },
        { apparmorProfile: `localhost/${local}` },
      ]) {
        await assert.rejects(make(security), { code: 9, message: words });
      }
      await make({ apparmor: profile(ProfileType.Unconfined) });
      await runtime.cri.runtime.removePodSandbox({ podSandboxId });
    });

    it("takes an SELinux label for nothing where the kernel has no SELinux", async () => {
      const selinuxOptions = { user: "system_u", role: "system_r", type: "container_t", level: "s0:c1,c2" };
      assert.equal((await inside({ selinuxOptions }, "echo runs")).stdout, "runs\n");
    });

    it("confines containers and what is executed in them, by default and by name", {
      skip: !hasAppArmor,
    }, async (t) => {
      const parsing = run("apparmor_parser", ["--skip-cache", "--replace"]);
      parsing.child.stdin?.end(rules);
      await parsing;
      t.after(async () => {
        const removing = run("apparmor_parser", ["--remove"]);
        removing.child.stdin?.end(rules);
        await removing;
      });
      const both = (label: string) => `${label}\n${label}\n`;
      const standard = both("hawser-default (enforce)");
      const mine = both(`${local} (enforce)`);
      for (const [security, want] of [
        [{}, standard],
        [{ apparmor: profile(ProfileType.RuntimeDefault) }, standard],
        [{ apparmor: profile(ProfileType.RuntimeDefault), noNewPrivs: true, runAsUser: { value: 1000n } }, standard],
        [{ privileged: true }, both("unconfined")],
        [{ apparmor: profile(ProfileType.Unconfined) }, both("unconfined")],
        [{ apparmor: profile(ProfileType.Localhost, local) }, mine],
        [{ apparmorProfile: `localhost/${local}` }, mine],
      ] as [Security, string][]) {
        const byRuntime = async (containerId: string) => {
          await runtime.restart({ exec: { helper: false } });
          assert.equal((await sh(runtime.cri, containerId, labels)).stdout, want, "by the OCI runtime's exec");
          await runtime.restart({});
        };
        const { stdout, stderr } = await inside(security, labels, byRuntime);
        assert.deepEqual([stderr, stdout], ["", want]);
      }
      const closed =
        "mkdir /tmp/closed /tmp/open; echo x >/tmp/open/x && echo open; echo x >/tmp/closed/x || echo closed";
      const { stdout, stderr } = await inside({ apparmor: profile(ProfileType.Localhost, local) }, closed);
      assert.equal(stdout, "open\nclosed\n");
      assert.match(stderr, /denied/);
      const admin = { capabilities: create(CapabilitySchema, { addCapabilities: ["SYS_ADMIN"] }) };
      const mounting = "mount -t tmpfs none /tmp && echo mounted";
      assert.equal((await inside(admin, mounting)).stdout, "", "the default forbids mounts");
      for (const restarts of [false, true]) {
        const replacing = run("apparmor_parser", ["--skip-cache", "--replace"]);
        replacing.child.stdin?.end(
          "profile hawser-default { file, capability, network, signal, ptrace, mount, umount, }",
        );
        await replacing;
        if (restarts) await runtime.restart({});
        assert.equal((await inside(admin, mounting)).stdout, "", "another version's rules are replaced");
      }
      const free = { ...admin, apparmor: profile(ProfileType.Unconfined) };
      assert.equal((await inside(free, mounting)).stdout, "mounted\n");
      await assert.rejects(inside({ apparmor: profile(ProfileType.Localhost, "no-such") }, "true"), {
        code: 9,
        message: /apparmor profile not found no-such/,
      });
    });
  });
}
