import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { create, LinuxContainerSecurityContextSchema, MountPropagation } from "@hawser/cri";
import { sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

const execute = promisify(execFile);
const mount = (...args: string[]) => execute("mount", args);

// After the CRI suite's container_linux.go: who sees whose mounts.
for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`mounts over ${ociRuntime}`, { timeout: 60_000 }, () => {
    let runtime: TestRuntime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
    });
    after(() => runtime?.[Symbol.asyncDispose]());

    for (const [name, propagation, hostToContainer, containerToHost] of [
      ["private", MountPropagation.PROPAGATION_PRIVATE, false, false],
      ["host to container", MountPropagation.PROPAGATION_HOST_TO_CONTAINER, true, false],
      ["bidirectional", MountPropagation.PROPAGATION_BIDIRECTIONAL, true, true],
    ] as const) {
      it(`propagates mounts: ${name}`, async () => {
        const directory = await mkdtemp(path.join(tmpdir(), "hawser-propagation-"));
        const [shared, source] = [path.join(directory, "shared"), path.join(directory, "source")];
        for (const each of ["shared/late", "source"]) await mkdir(path.join(directory, each), { recursive: true });
        await writeFile(path.join(source, "flag"), "");
        await mount("--bind", shared, shared);
        await mount("--make-shared", shared);
        const security = create(LinuxContainerSecurityContextSchema, { privileged: true });
        const { podSandboxId, containerId } = await startContainer(
          runtime.cri,
          {
            linux: { securityContext: security },
            mounts: [{ hostPath: shared, containerPath: shared, propagation }],
          },
          sandboxConfig({ linux: { securityContext: { privileged: true } } }),
        );
        try {
          await mount("--bind", source, path.join(shared, "late"));
          const seen = await sh(runtime.cri, containerId, `ls ${shared}/late`);
          assert.equal(seen.stdout, hostToContainer ? "flag\n" : "");
          const inside = path.join(shared, "inside");
          const made = await sh(runtime.cri, containerId, `mkdir ${inside} && mount --bind /etc ${inside}`);
          assert.deepEqual([made.stderr, made.exitCode], ["", 0]);
          assert.equal((await readdir(inside)).includes("passwd"), containerToHost);
          const { status } = await runtime.cri.runtime.containerStatus({ containerId });
          assert.equal(status?.mounts[0]?.propagation, propagation);
        } finally {
          await runtime.cri.runtime.removePodSandbox({ podSandboxId });
          await execute("umount", ["--recursive", shared]);
          await rm(directory, { recursive: true });
        }
      });
    }

    it("resolves links on the node, and refuses what cannot be", async () => {
      const bad = [
        { hostPath: "relative", containerPath: "/x" },
        { hostPath: "/tmp", containerPath: "x" },
        { hostPath: "/tmp", containerPath: "/x", recursiveReadOnly: true },
        {
          hostPath: "/tmp",
          containerPath: "/x",
          readonly: true,
          recursiveReadOnly: true,
          propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
        },
      ];
      for (const each of bad) await assert.rejects(startContainer(runtime.cri, { mounts: [each] }), { code: 3 });
    });

    it("makes a mount read-only with all that is below", async () => {
      const directory = await mkdtemp(path.join(tmpdir(), "hawser-rro-"));
      await mkdir(path.join(directory, "below"));
      await mount("-t", "tmpfs", "tmpfs", path.join(directory, "below"));
      try {
        const flags = { hostPath: directory, containerPath: "/m", readonly: true };
        for (const [recursiveReadOnly, writable] of [
          [false, true],
          [true, false],
        ] as const) {
          const { podSandboxId, containerId } = await startContainer(runtime.cri, {
            mounts: [{ ...flags, recursiveReadOnly }],
          });
          const { exitCode } = await sh(runtime.cri, containerId, "touch /m/below/x");
          assert.equal(exitCode === 0, writable);
          await runtime.cri.runtime.removePodSandbox({ podSandboxId });
        }
      } finally {
        await execute("umount", ["-l", path.join(directory, "below")]);
        await rm(directory, { recursive: true });
      }
    });
  });
}
