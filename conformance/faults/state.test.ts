// What a runtime finds when it starts, spoiled: corrupt records, exit files, a root that another has; and conmon killed under a
// container. Needs root, crun, conmon and the CNI plugins.
import assert from "node:assert/strict";
import { readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { ContainerState, type CRIConnection } from "@hawser/cri";
import { startRuntime } from "@hawser/runtime";
import { eventually } from "@hawser/testing";
import { silentLogger } from "@hawser/trace";
import { testConfig } from "../crun/support/runtime.ts";
import { bystander, created, remove, running, type Subject } from "./support/calls.ts";
import { settledInventory, settlesAt } from "./support/inventory.ts";
import { thorough } from "./support/length.ts";
import { type FaultyRuntime, startFaulty } from "./support/runtime-process.ts";

const { CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;

describe("a runtime", { timeout: 300_000 }, () => {
  let runtime: FaultyRuntime;
  let other: Awaited<ReturnType<typeof bystander>>;
  let baseline: string[];
  before(async () => {
    runtime = await startFaulty();
    other = await bystander(runtime.cri);
    baseline = await settledInventory(runtime.root);
  });
  after(() => runtime?.[Symbol.asyncDispose]());
  afterEach(async () => {
    await rm(path.join(runtime.root, "corrupt"), { recursive: true, force: true });
    await settlesAt(runtime.root, baseline);
  });

  const stateFile = (kind: string, id: string) => path.join(runtime.root, kind, id, "state.json");
  const statusOf = async (cri: CRIConnection, { containerId }: Subject) =>
    (await cri.runtime.containerStatus({ containerId })).status;
  const restart = async (meanwhile: () => Promise<unknown>) => {
    await runtime.kill();
    await meanwhile();
    const mark = runtime.output().length;
    await runtime.start();
    return () => runtime.output().slice(mark);
  };
  const conmonOf = async (id: string): Promise<number> => {
    const record = JSON.parse(await readFile(stateFile("containers", id), "utf8")) as { conmon: { pid: number } };
    return record.conmon.pid;
  };

  const spoilings: { name: string; spoil: (file: string) => Promise<void> }[] = [
    { name: "cut short", spoil: (file) => truncate(file, 100) },
    { name: "empty", spoil: (file) => truncate(file, 0) },
    { name: "full of zeros", spoil: (file) => writeFile(file, Buffer.alloc(4096)) },
    { name: "of the wrong form", spoil: (file) => writeFile(file, '{"id": 5, "state": []}') },
  ];
  for (const { name, spoil } of thorough ? spoilings : spoilings.slice(0, 1)) {
    it(`sets a container aside whose state is ${name}, says so, and goes on with the rest`, async () => {
      const subject = await running(runtime.cri);
      const { containerId } = subject;
      const script = "echo precious > /tmp/file";
      await runtime.cri.runtime.execSync({ containerId, cmd: ["sh", "-c", script], timeout: 5n });
      const output = await restart(() => spoil(stateFile("containers", containerId)));
      assert.match(output(), new RegExp(`a container's state cannot be understood.*${containerId}`));
      await other.stands(runtime.cri);
      const { containers } = await runtime.cri.runtime.listContainers({});
      assert.deepEqual(
        containers.map(({ id }) => id),
        [other.containerId],
      );
      const [kept] = await readdir(path.join(runtime.root, "corrupt"));
      assert.match(kept ?? "", new RegExp(`container-${containerId}$`));
      const aside = path.join(runtime.root, "corrupt", kept ?? "");
      assert.deepEqual((await readdir(aside)).sort(), ["config.json", "state.json", "upper"]);
      assert.equal(await readFile(path.join(aside, "upper/tmp/file"), "utf8"), "precious\n");
      await remove(runtime.cri, subject);
    });
  }

  it("sets a sandbox aside whose state is corrupt, and ends its containers", async () => {
    const subject = await running(runtime.cri);
    const output = await restart(() => truncate(stateFile("sandboxes", subject.podSandboxId), 50));
    assert.match(output(), new RegExp(`a sandbox' state cannot be understood.*${subject.podSandboxId}`));
    await other.stands(runtime.cri);
    assert.equal((await statusOf(runtime.cri, subject))?.state, CONTAINER_EXITED);
    await runtime.cri.runtime.removeContainer({ containerId: subject.containerId });
    await remove(runtime.cri, subject);
  });

  for (const text of thorough ? ["", "1x7", "\0\0", "garbage"] : ["1x7"]) {
    it(`takes ${JSON.stringify(text)} in an exit file for an end whose code is lost`, async () => {
      const subject = await running(runtime.cri);
      const { containerId } = subject;
      const exits = path.join("/run/hawser", (await hashOf(runtime.root)) ?? "", "exits", containerId);
      await restart(async () => {
        const { init } = JSON.parse(await readFile(stateFile("containers", containerId), "utf8")) as {
          init: { pid: number };
        };
        process.kill(init.pid, "SIGKILL");
        await eventually(async () => (await readFile(exits, "utf8").catch(() => "")) !== "");
        await writeFile(exits, text);
      });
      const status = await statusOf(runtime.cri, subject);
      assert.deepEqual([status?.state, status?.exitCode, status?.reason], [CONTAINER_EXITED, 255, "Unknown"]);
      await other.stands(runtime.cri);
      await remove(runtime.cri, subject);
    });
  }

  const made = { "a running": running, "a created": created };
  for (const [name, make] of Object.entries(made)) {
    it(`ends ${name} container whose conmon is killed, and says why`, async () => {
      const subject = await make(runtime.cri);
      process.kill(await conmonOf(subject.containerId), "SIGKILL");
      await eventually(async () => (await statusOf(runtime.cri, subject))?.state === CONTAINER_EXITED);
      const status = await statusOf(runtime.cri, subject);
      assert.deepEqual([status?.exitCode, status?.reason], [137, "Error"]);
      assert.match(status?.message ?? "", /conmon, which watched the container, has ended/);
      await other.stands(runtime.cri);
      await runtime.cri.runtime.removeContainer({ containerId: subject.containerId });
      await remove(runtime.cri, subject);
    });
  }

  const whileAway = "notices a conmon that was killed while no runtime was there, and one that is not its child";
  it(whileAway, { skip: !thorough && "make test-faults" }, async () => {
    const [first, second] = [await running(runtime.cri), await running(runtime.cri)];
    await restart(async () => process.kill(await conmonOf(first.containerId), "SIGKILL"));
    assert.equal((await statusOf(runtime.cri, first))?.state, CONTAINER_EXITED);
    assert.equal((await statusOf(runtime.cri, second))?.state, CONTAINER_RUNNING);
    process.kill(await conmonOf(second.containerId), "SIGKILL");
    await eventually(async () => (await statusOf(runtime.cri, second))?.state === CONTAINER_EXITED, {
      timeoutMs: 20_000,
    });
    for (const subject of [first, second]) await remove(runtime.cri, subject);
  });

  it("refuses a root that another has, naming that one, and does it no harm", async () => {
    const { root, pid } = runtime;
    const second = startRuntime({
      root,
      socketPath: path.join(root, "second.sock"),
      config: testConfig(),
      log: silentLogger,
    });
    const message = `runtime root ${root} is in use by process ${pid} (hawser-runtime)`;
    await assert.rejects(second, { message });
    await other.stands(runtime.cri);
  });
});

async function hashOf(root: string): Promise<string | undefined> {
  const places = JSON.parse(await readFile(path.join(root, "runtime.json"), "utf8")) as { stateDir: string };
  return places.stateDir.split("/").pop();
}
