// Many containers at once, and one after the other: all work, nothing is left, and the runtime does not grow.
// Needs root, crun, conmon and the CNI plugins.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { ContainerState, type CRIConnection } from "@hawser/cri";
import { eventually } from "@hawser/testing";
import { image, sandboxConfig } from "../crun/support/runtime.ts";
import { bystander } from "./support/calls.ts";
import { settledInventory, settlesAt } from "./support/inventory.ts";
import { thorough } from "./support/length.ts";
import { type FaultyRuntime, startFaulty } from "./support/runtime-process.ts";

const execute = promisify(execFile);
const pods = thorough ? 20 : 4;
const containersPerPod = thorough ? 10 : 6;
const cycles = thorough ? 1000 : 30;
/** What the runtime may grow by in the second half of all cycles, bytes: garbage is collected when V8 thinks fit. */
const growth = 25 * 1024 * 1024;

describe("a runtime with many containers", { timeout: thorough ? 1_800_000 : 280_000 }, () => {
  it(`${pods * containersPerPod} at once: all run, are found again, and go`, async () => {
    await using runtime = await startFaulty();
    await bystander(runtime.cri);
    const baseline = await settledInventory(runtime.root);
    const started = await Promise.all(
      Array.from({ length: pods }, async () => {
        const config = sandboxConfig();
        const { podSandboxId } = await runtime.cri.runtime.runPodSandbox({ config });
        const ids = Array.from({ length: containersPerPod }, async (_, index) => {
          const containerId = await create(runtime.cri, { podSandboxId, config, name: `c${index}` });
          await runtime.cri.runtime.startContainer({ containerId });
          return containerId;
        });
        return { podSandboxId, ids: await Promise.all(ids) };
      }),
    );
    const all = started.flatMap(({ ids }) => ids);
    const areThere = async () => {
      const { containers } = await runtime.cri.runtime.listContainers({
        filter: { state: { state: ContainerState.CONTAINER_RUNNING } },
      });
      const found = new Set(containers.map(({ id }) => id));
      assert.deepEqual(
        all.filter((id) => !found.has(id)),
        [],
      );
      assert.equal(found.size, all.length + 1);
      const answers = await Promise.all(
        all.map((containerId) =>
          runtime.cri.runtime.execSync({ containerId, cmd: ["sh", "-c", "echo $NAME"], timeout: 60n }),
        ),
      );
      assert.deepEqual(
        answers.map(({ stdout }) => Buffer.from(stdout).toString().trim()),
        started.flatMap(({ ids }) => ids.map((_, index) => `c${index}`)),
      );
    };
    await areThere();
    await runtime.kill();
    await runtime.start();
    await areThere();
    await Promise.all(started.map(({ podSandboxId }) => runtime.cri.runtime.stopPodSandbox({ podSandboxId })));
    await Promise.all(started.map(({ podSandboxId }) => runtime.cri.runtime.removePodSandbox({ podSandboxId })));
    await settlesAt(runtime.root, baseline);
  });

  it(`${cycles} created, started, stopped and removed, one after the other: nothing grows`, async (t) => {
    await using runtime = await startFaulty();
    const config = sandboxConfig();
    const { podSandboxId } = await runtime.cri.runtime.runPodSandbox({ config });
    const cycle = async (name: string) => {
      const containerId = await create(runtime.cri, { podSandboxId, config, name });
      await runtime.cri.runtime.startContainer({ containerId });
      await runtime.cri.runtime.execSync({ containerId, cmd: ["true"], timeout: 10n });
      await runtime.cri.runtime.stopContainer({ containerId, timeout: 0n });
      await runtime.cri.runtime.removeContainer({ containerId });
    };
    for (let n = 0; n < cycles / 2; n++) await cycle(`a${n}`);
    const baseline = await settledInventory(runtime.root);
    const before = await size(runtime);
    for (let n = 0; n < cycles / 2; n++) await cycle(`b${n}`);
    await settlesAt(runtime.root, baseline);
    let afterwards = await size(runtime);
    const isSmall = async () => {
      afterwards = await size(runtime);
      return afterwards.fds <= before.fds && afterwards.children <= before.children;
    };
    await eventually(isSmall, { timeoutMs: 15_000 }).catch(() => undefined); // what is compared says what
    t.diagnostic(`before ${JSON.stringify(before)}, after ${JSON.stringify(afterwards)}`);
    assert.ok(afterwards.fds <= before.fds, `descriptors: ${before.fds}, then ${afterwards.fds}`);
    assert.ok(afterwards.memory - before.memory < growth, `memory: ${before.memory}, then ${afterwards.memory}`);
    assert.ok(afterwards.disk - before.disk < 64 * 1024, `disk: ${before.disk}, then ${afterwards.disk}`);
    assert.ok(afterwards.children <= before.children, `children: ${before.children}, then ${afterwards.children}`);
  });
});

async function create(
  cri: CRIConnection,
  { podSandboxId, config, name }: { podSandboxId: string; config: ReturnType<typeof sandboxConfig>; name: string },
): Promise<string> {
  const { containerId } = await cri.runtime.createContainer({
    podSandboxId,
    config: {
      metadata: { name, attempt: 0 },
      image: { image },
      command: ["sleep", "100000"],
      envs: [{ key: "NAME", value: Buffer.from(name) }],
    },
    sandboxConfig: config,
  });
  return containerId;
}

/** Of the runtime's process: resident memory (bytes), descriptors, children; of its root: disk (bytes). */
async function size({ pid, root }: FaultyRuntime) {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  const { stdout } = await execute("du", ["-s", "-x", "--block-size=1", root, path.join("/run/hawser")]);
  const [disk = 0] = stdout.split("\n").map((line) => Number.parseInt(line, 10));
  return {
    memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
    fds: (await readdir(`/proc/${pid}/fd`)).length,
    children: children.split(" ").filter(Boolean).length,
    disk,
  };
}
