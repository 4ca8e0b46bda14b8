import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ContainerState, type CRIConnection, NamespaceMode, type PodSandboxConfig, PodSandboxState } from "@hawser/cri";
import { eventually, newMark } from "@hawser/testing";
import { image, sandboxConfig, startContainer } from "../../crun/support/runtime.ts";

/** One call of the CRI that is cut off: what it needs, the call, and what has to be true after the next start. */
export interface Cut {
  name: string;
  /** Steps at which the short form kills, as parts of the whole. */
  short: number[];
  /** Makes what the call works on. What it returns is given to the others. */
  prepare(cri: CRIConnection): Promise<Subject>;
  call(cri: CRIConnection, subject: Subject): Promise<unknown>;
  /** Such a call that lasts, and whether it has come so far: it is cut off there too. */
  midst?: { call: Cut["call"]; reached(): Promise<boolean> };
  /** True when the call has come to nothing: then everything is as it was before. */
  undone?(cri: CRIConnection, subject: Subject): Promise<boolean>;
  /** Looks at what there is, has it work, and removes it all. */
  after(cri: CRIConnection, subject: Subject): Promise<void>;
}

export interface Subject {
  config: PodSandboxConfig;
  podSandboxId: string;
  containerId: string;
}

const { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED } = ContainerState;

/** Each container's first process is its own number 1. */
const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };

/** How long the exec that is cut off in its midst would last. */
const asleep = newMark();

/** Commands that end one after another once nobody reads what they write. */
const ending = [1, 2, 3, 4, 5, 6].map((n) => ["sh", "-c", `while echo ${asleep}; do sleep 0.${n}; done`]);

/** A host port that this machine does not use otherwise. */
const hostPort = 20_000 + (process.pid % 10_000);

const logName = "0.log";

/** A sandbox to be: with an address and a host port. */
export async function nothing(): Promise<Subject> {
  const config = sandboxConfig({ linux, portMappings: [{ hostPort, containerPort: 80 }] });
  return { config, podSandboxId: "", containerId: "" };
}

/** A sandbox. */
export async function pod(cri: CRIConnection): Promise<Subject> {
  const subject = await nothing();
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: subject.config });
  return { ...subject, podSandboxId };
}

/** CreateContainer, in the subject's sandbox, of one that ends with 9 on SIGTERM; with a log if the sandbox has a place for it. */
export async function create(cri: CRIConnection, { config, podSandboxId }: Subject): Promise<string> {
  // Two processes at any time: the inventory counts them.
  const command = ["sh", "-c", "trap 'exit 9' TERM; sleep 100000 & wait"];
  const logPath = config.logDirectory && logName;
  const container = { metadata: { name: "main", attempt: 0 }, image: { image }, command, linux, logPath };
  const { containerId } = await cri.runtime.createContainer({ podSandboxId, config: container, sandboxConfig: config });
  return containerId;
}

/** A sandbox and a created container. */
export async function created(cri: CRIConnection): Promise<Subject> {
  const subject = await pod(cri);
  return { ...subject, containerId: await create(cri, subject) };
}

/** A sandbox and a running container. */
export async function running(cri: CRIConnection): Promise<Subject> {
  const subject = await created(cri);
  await cri.runtime.startContainer({ containerId: subject.containerId });
  await isWhole(cri, subject.containerId);
  return subject;
}

/** Resolves when create()'s second process is there, and so the trap before it. */
async function isWhole(cri: CRIConnection, containerId: string) {
  const cmd = ["sh", "-c", "until grep -q . /proc/1/task/1/children; do sleep 0.01; done"];
  await cri.runtime.execSync({ containerId, cmd, timeout: 30n });
}

/** The subject's sandbox by its name: one at most, and all its own are ones. */
async function sandboxes(cri: CRIConnection, { config }: Subject) {
  const { items } = await cri.runtime.listPodSandbox({});
  const found = items.filter(({ metadata }) => metadata?.uid === config.metadata?.uid);
  assert.ok(found.length <= 1, "doubled");
  return found;
}

async function containers(cri: CRIConnection, { podSandboxId }: Subject) {
  const { containers: all } = await cri.runtime.listContainers({});
  const found = all.filter((container) => container.podSandboxId === podSandboxId);
  assert.ok(found.length <= 1, "doubled");
  return found;
}

/** The sandbox is there and ready, and takes a container that runs; then it is removed. */
export async function useAndRemove(cri: CRIConnection, subject: Subject): Promise<void> {
  const [found] = await sandboxes(cri, subject);
  assert.ok(found, "lost");
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId: found.id });
  assert.equal(status?.state, PodSandboxState.SANDBOX_READY);
  assert.match(status?.network?.ip ?? "", /^10\./);
  const containerId = subject.containerId || (await create(cri, { ...subject, podSandboxId: found.id }));
  const before = (await cri.runtime.containerStatus({ containerId })).status?.state;
  if (before === CONTAINER_CREATED) await cri.runtime.startContainer({ containerId });
  const { stdout } = await cri.runtime.execSync({ containerId, cmd: ["echo", "works"], timeout: 30n });
  assert.equal(Buffer.from(stdout).toString(), "works\n");
  await cri.runtime.stopPodSandbox({ podSandboxId: found.id });
  await cri.runtime.removePodSandbox({ podSandboxId: found.id });
}

/** As the kubelet does: both calls again, however far they had come. */
export async function remove(cri: CRIConnection, { podSandboxId }: Subject): Promise<void> {
  await cri.runtime.stopPodSandbox({ podSandboxId });
  await cri.runtime.removePodSandbox({ podSandboxId });
  await assert.rejects(cri.runtime.podSandboxStatus({ podSandboxId }), { code: 5 });
}

export const cuts: Cut[] = [
  {
    name: "RunPodSandbox",
    short: [0.35, 0.8],
    prepare: nothing,
    call: (cri, { config }) => cri.runtime.runPodSandbox({ config }),
    undone: async (cri, subject) => (await sandboxes(cri, subject)).length === 0,
    async after(cri, subject) {
      if ((await sandboxes(cri, subject)).length === 0) await cri.runtime.runPodSandbox({ config: subject.config });
      await useAndRemove(cri, subject);
    },
  },
  {
    name: "CreateContainer",
    short: [0.5, 0.85],
    prepare: pod,
    call: create,
    undone: async (cri, subject) => (await containers(cri, subject)).length === 0,
    async after(cri, subject) {
      const [found] = await containers(cri, subject);
      if (found) assert.equal(found.state, CONTAINER_CREATED);
      await useAndRemove(cri, { ...subject, containerId: found?.id ?? "" });
    },
  },
  {
    name: "StartContainer",
    short: [0.7],
    prepare: created,
    call: (cri, { containerId }) => cri.runtime.startContainer({ containerId }),
    async after(cri, subject) {
      const [found] = await containers(cri, subject);
      assert.ok(found?.state === CONTAINER_CREATED || found?.state === CONTAINER_RUNNING, `state ${found?.state}`);
      await useAndRemove(cri, subject);
    },
  },
  {
    name: "StopContainer",
    short: [0.5],
    prepare: running,
    call: (cri, { containerId }) => cri.runtime.stopContainer({ containerId, timeout: 5n }),
    async after(cri, subject) {
      const { containerId } = subject;
      assert.equal((await containers(cri, subject)).length, 1, "lost");
      await cri.runtime.stopContainer({ containerId, timeout: 5n });
      const { status } = await cri.runtime.containerStatus({ containerId });
      assert.deepEqual([status?.state, status?.exitCode], [CONTAINER_EXITED, 9]);
      await remove(cri, subject);
    },
  },
  {
    name: "RemoveContainer",
    short: [0.6],
    prepare: running,
    call: (cri, { containerId }) => cri.runtime.removeContainer({ containerId }),
    async after(cri, subject) {
      await containers(cri, subject);
      await cri.runtime.removeContainer({ containerId: subject.containerId });
      await assert.rejects(cri.runtime.containerStatus({ containerId: subject.containerId }), { code: 5 });
      await useAndRemove(cri, { ...subject, containerId: "" });
    },
  },
  {
    name: "StopPodSandbox",
    short: [0.5],
    prepare: running,
    call: (cri, { podSandboxId }) => cri.runtime.stopPodSandbox({ podSandboxId }),
    async after(cri, subject) {
      assert.equal((await sandboxes(cri, subject)).length, 1, "lost");
      assert.equal((await containers(cri, subject)).length, 1, "lost");
      const { podSandboxId, containerId } = subject;
      await cri.runtime.stopPodSandbox({ podSandboxId });
      const { status } = await cri.runtime.podSandboxStatus({ podSandboxId });
      assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
      assert.equal((await cri.runtime.containerStatus({ containerId })).status?.state, CONTAINER_EXITED);
      await remove(cri, subject);
    },
  },
  {
    name: "RemovePodSandbox",
    short: [0.75],
    prepare: running,
    call: (cri, { podSandboxId }) => cri.runtime.removePodSandbox({ podSandboxId }),
    async after(cri, subject) {
      await sandboxes(cri, subject);
      await remove(cri, subject);
      assert.equal((await containers(cri, subject)).length, 0);
    },
  },
  {
    name: "UpdateContainerResources",
    short: [0.6],
    prepare: running,
    call: update,
    async after(cri, subject) {
      const { containerId } = subject;
      await update(cri, subject);
      const { status } = await cri.runtime.containerStatus({ containerId });
      assert.equal(status?.resources?.linux?.cpuShares, shares);
      await useAndRemove(cri, subject);
    },
  },
  {
    name: "ReopenContainerLog",
    short: [0.6],
    async prepare(cri) {
      const { config } = await nothing();
      const logDirectory = await mkdtemp(path.join(tmpdir(), "hawser-faults-log-"));
      const { podSandboxId } = await cri.runtime.runPodSandbox({ config: { ...config, logDirectory } });
      const subject = { config: { ...config, logDirectory }, podSandboxId, containerId: "" };
      const containerId = await create(cri, subject);
      await cri.runtime.startContainer({ containerId });
      await isWhole(cri, containerId);
      await says(cri, containerId, "first");
      await rename(path.join(logDirectory, logName), path.join(logDirectory, "rotated"));
      return { ...subject, containerId };
    },
    call: (cri, { containerId }) => cri.runtime.reopenContainerLog({ containerId }),
    async after(cri, subject) {
      const { config, containerId } = subject;
      await cri.runtime.reopenContainerLog({ containerId });
      await says(cri, containerId, "second");
      const read = (name: string) => readFile(path.join(config.logDirectory, name), "utf8");
      await eventually(async () => (await read(logName)).endsWith(" stdout F second\n"));
      assert.match((await read("rotated")) + (await read(logName)), /^\S+ stdout F first\n\S+ stdout F second\n$/);
      await useAndRemove(cri, subject);
      await rm(config.logDirectory, { recursive: true });
    },
  },
  {
    name: "ExecSync",
    short: [], // the runtime changes nothing on the machine by itself
    prepare: running,
    call: (cri, { containerId }) => cri.runtime.execSync({ containerId, cmd: ["true"], timeout: 60n }),
    midst: {
      call: (cri, { containerId }) => cri.runtime.execSync({ containerId, cmd: ["sleep", asleep], timeout: 60n }),
      reached: () => runs("sleep", asleep),
    },
    async after(cri, subject) {
      await nobodyRuns(cri, subject, `sleep ${asleep}`);
      await useAndRemove(cri, subject);
    },
  },
  {
    name: "several ExecSync, which end while the next runtime starts",
    short: [],
    prepare: running,
    call: (cri, { containerId }) => cri.runtime.execSync({ containerId, cmd: ["true"], timeout: 60n }),
    midst: {
      call: (cri, { containerId }) =>
        Promise.all(ending.map((cmd) => cri.runtime.execSync({ containerId, cmd, timeout: 60n }))),
      reached: async () => (await Promise.all(ending.map((cmd) => runs(...cmd)))).every(Boolean),
    },
    async after(cri, subject) {
      await nobodyRuns(cri, subject, asleep);
      await useAndRemove(cri, subject);
    },
  },
];

const shares = 300n;

async function update(cri: CRIConnection, { containerId }: Subject): Promise<void> {
  await cri.runtime.updateContainerResources({ containerId, linux: { cpuShares: shares } });
}

/** The container's first process writes a line. */
async function says(cri: CRIConnection, containerId: string, line: string): Promise<void> {
  const cmd = ["sh", "-c", `echo ${line} >/proc/1/fd/1`];
  const { exitCode } = await cri.runtime.execSync({ containerId, cmd, timeout: 30n });
  assert.equal(exitCode, 0);
}

/** Throws when a process with this in its command line is in the container. */
async function nobodyRuns(cri: CRIConnection, { containerId }: Subject, words: string): Promise<void> {
  const cmd = ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"];
  const { stdout } = await cri.runtime.execSync({ containerId, cmd, timeout: 30n });
  assert.ok(!Buffer.from(stdout).toString().includes(words), "its command goes on without anybody");
}

/** Is there a process of this command line on the node? */
async function runs(...words: string[]): Promise<boolean> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""));
  return (await Promise.all(lines)).includes(words.map((word) => `${word}\0`).join(""));
}

/** A pod that has nothing to do with what is cut off, and must not notice. */
export async function bystander(cri: CRIConnection) {
  const { containerId, podSandboxId } = await startContainer(cri, { linux }, sandboxConfig({ linux }));
  const since = async (connection: CRIConnection) => {
    const { status } = await connection.runtime.containerStatus({ containerId });
    assert.equal(status?.state, CONTAINER_RUNNING, "another container has ended");
    const { stdout } = await connection.runtime.execSync({ containerId, cmd: ["cat", "/proc/1/stat"], timeout: 30n });
    return Buffer.from(stdout).toString().split(" ")[21];
  };
  const began = await since(cri);
  return {
    podSandboxId,
    containerId,
    /** Throws unless it is the same process as ever. */
    async stands(connection: CRIConnection) {
      assert.equal(await since(connection), began);
    },
  };
}

/** A sandbox of this config. */
export async function sandboxOf(cri: CRIConnection, config: PodSandboxConfig): Promise<Subject> {
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config });
  return { config, podSandboxId, containerId: "" };
}
