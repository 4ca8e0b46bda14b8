import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Answer, Subject } from "../subject.ts";
import { containerConfig, emptyImage, ended, sandboxConfig } from "../world.ts";

/** Containers through their lives, and every call in every state. */
export async function useContainers(subject: Subject): Promise<void> {
  const { call, learn, note } = subject;
  const sandbox = sandboxConfig(subject, "pod");
  const { podSandboxId } = await call("pod", "RunPodSandbox", { config: sandbox }, { pick: () => "" });
  learn(podSandboxId, "pod");
  const create = async (step: string, config: object, extra?: Uint8Array) => {
    const request = { podSandboxId, config, sandboxConfig: sandbox };
    const options = { pick: ({ containerId }: Answer) => containerId.length, ...(extra && { extra }) };
    return (await call(`create: ${step}`, "CreateContainer", request, options))?.containerId as string;
  };
  await call("create: no config", "CreateContainer", { podSandboxId, sandboxConfig: sandbox });
  await create("no metadata", { image: { image: "i" } });
  await create("no image", { metadata: { name: "x" } });
  await create("an image that is not there", containerConfig("x", { image: { image: "registry.test/none:1" } }));
  await create("no command at all", containerConfig("x", { image: { image: emptyImage }, command: [] }));
  await create("a user that is not there", containerConfig("x", security({ runAsUsername: "no-such-user" })));
  await create("a group without a user", containerConfig("x", security({ runAsGroup: { value: 1n } })));
  await create(
    "a profile that is not there",
    containerConfig("x", security({ seccompProfilePath: "localhost//none" })),
  );
  await create("no such profile", containerConfig("x", security({ seccompProfilePath: "strange" })));
  await create("privileged in a plain pod", containerConfig("x", security({ privileged: true })));
  await create(
    "a device that is not there",
    containerConfig("x", { devices: [{ hostPath: "/dev/none", containerPath: "/dev/none" }] }),
  );

  const labels = { app: "web" };
  const config = containerConfig("main", { labels, annotations: { a: "b" }, logPath: "main.log", stdin: true });
  const id = learn(await create("main", config, new Uint8Array([0xf8, 0x7f, 0x01])), "main");
  await create("the same once more", config);
  const container = { containerId: id };
  await everyCall(subject, "created", id);
  await call("created: status", "ContainerStatus", container);
  await call("start", "StartContainer", container);
  await everyCall(subject, "running", id);
  await call("running: status", "ContainerStatus", container);
  await call(
    "running: status, verbose",
    "ContainerStatus",
    { ...container, verbose: true },
    {
      pick: ({ status, info }) => ({ state: status.state, isInfo: info?.info?.startsWith("{") }),
    },
  );
  await call("running: shortened id", "ContainerStatus", { containerId: id.slice(0, 13) });
  await call("running: by v1alpha2", "ContainerStatus", container, { version: "v1alpha2" });
  await call("running: list by v1alpha2", "ListContainers", {}, { version: "v1alpha2" });
  await call("running: start once more", "StartContainer", container);
  await lists(subject, id, podSandboxId);
  await execs(subject, id);
  await updates(subject, id);
  await call("log: reopened", "ReopenContainerLog", container);
  await call("pod with a container: status", "PodSandboxStatus", { podSandboxId });

  await call("stop", "StopContainer", { ...container, timeout: 0n });
  await call("stop: again", "StopContainer", { ...container, timeout: 0n });
  await call("ended: status", "ContainerStatus", container);
  await everyCall(subject, "ended", id);
  await call("ended: start", "StartContainer", container);
  await call("ended: list", "ListContainers", { filter: { state: { state: 2 } } });
  await call("remove", "RemoveContainer", container);
  await call("remove: again", "RemoveContainer", container);
  await call("removed: status", "ContainerStatus", container);

  const ends: [string, object][] = [
    ["by itself", { command: ["true"] }],
    ["with a code", { command: ["sh", "-c", "echo out; echo err >&2; printf unended; exit 3"], logPath: "code.log" }],
    ["by a signal of its own", { command: ["sh", "-c", "kill -9 $$"] }],
    ["for want of its program", { command: ["no-such-program"] }],
    ["for want of a program at a path", { command: ["/no/such/program"] }],
    ["since its program is none", { command: ["/etc/passwd"] }],
  ];
  for (const [how, more] of ends) {
    const created = await create(`ends ${how}`, containerConfig(how, more));
    if (!created) continue;
    learn(created, how);
    await call(`start: ends ${how}`, "StartContainer", { containerId: created });
    await ended(subject, created);
    await call(`ended ${how}: status`, "ContainerStatus", { containerId: created });
  }
  const log = await readFile(path.join(subject.folder, "logs/pod/code.log"), "utf8");
  note("log: its lines", log.replaceAll(/^\S+ /gm, "").split("\n").sort());

  const stubborn = await create(
    "heeds SIGTERM",
    containerConfig("term", { command: ["sh", "-c", "trap 'exit 7' TERM; : >/tmp/up; while :; do sleep 0.05; done"] }),
  );
  learn(stubborn, "term");
  await call("start: heeds SIGTERM", "StartContainer", { containerId: stubborn });
  const up = ["sh", "-c", "until test -e /tmp/up; do sleep 0.05; done"];
  await call("exec: it is on its way", "ExecSync", { containerId: stubborn, cmd: up, timeout: 30n });
  await call("stop: heeds SIGTERM", "StopContainer", { containerId: stubborn, timeout: 10n });
  await call("stopped by SIGTERM: status", "ContainerStatus", { containerId: stubborn });

  const never = learn(await create("never started", containerConfig("never")), "never");
  await call("never started: stop", "StopContainer", { containerId: never, timeout: 1n });
  await call("never started: status", "ContainerStatus", { containerId: never });
  await call("never started: remove", "RemoveContainer", { containerId: never });
  const forced = learn(await create("removed while it runs", containerConfig("forced")), "forced");
  await call("start: removed while it runs", "StartContainer", { containerId: forced });
  await call("remove: while it runs", "RemoveContainer", { containerId: forced });
  await call("removed while it ran: status", "ContainerStatus", { containerId: forced });

  const last = learn(await create("ends with its pod", containerConfig("last")), "last");
  await call("start: ends with its pod", "StartContainer", { containerId: last });
  await call("stop the pod", "StopPodSandbox", { podSandboxId });
  await call("stopped with its pod: status", "ContainerStatus", { containerId: last });
  await call("stopped with its pod: start", "StartContainer", { containerId: last });
  await call("remove the pod", "RemovePodSandbox", { podSandboxId });
  await call("removed with its pod: status", "ContainerStatus", { containerId: last });
  await call("containers: at the end", "ListContainers", {});
}

const security = (securityContext: object) => ({ linux: { securityContext } });

/** The calls whose answer is no more than a code or a URL. */
async function everyCall({ call }: Subject, state: string, containerId: string): Promise<void> {
  const container = { containerId };
  await call(`${state}: ExecSync`, "ExecSync", { ...container, cmd: ["true"] });
  await call(`${state}: Exec`, "Exec", { ...container, cmd: ["true"], stdout: true });
  await call(`${state}: Attach`, "Attach", { ...container, stdout: true });
  await call(`${state}: ContainerStats`, "ContainerStats", container, { pick: kindsOfStats });
  await call(
    `${state}: ListContainerStats`,
    "ListContainerStats",
    { filter: { id: containerId } },
    {
      pick: ({ stats }) => stats?.length ?? 0,
    },
  );
  await call(`${state}: UpdateContainerResources`, "UpdateContainerResources", {
    ...container,
    linux: { cpuShares: 200n },
  });
  await call(`${state}: ReopenContainerLog`, "ReopenContainerLog", container);
}

async function lists({ call }: Subject, id: string, podSandboxId: string): Promise<void> {
  for (const [name, filter] of Object.entries({
    "an empty filter": {},
    "an id": { id },
    "a shortened id": { id: id.slice(0, 13) },
    "its pod": { podSandboxId },
    "its pod, shortened": { podSandboxId: podSandboxId.slice(0, 13) },
    "another pod": { podSandboxId: "0123456789ab" },
    "an id in another pod": { id, podSandboxId: "0123456789ab" },
    created: { state: { state: 0 } },
    running: { state: { state: 1 } },
    "a label": { labelSelector: { app: "web" } },
    "another label": { labelSelector: { app: "db" } },
  })) {
    await call(`containers: ${name}`, "ListContainers", { filter });
    await call(
      `container stats: ${name}`,
      "ListContainerStats",
      { filter },
      { pick: ({ stats }) => stats?.length ?? 0 },
    );
  }
}

async function execs({ call }: Subject, containerId: string): Promise<void> {
  const commands: Record<string, [string[], bigint?]> = {
    "both outputs and a code": [["sh", "-c", "echo out; echo err >&2; exit 5"]],
    "a signal": [["sh", "-c", "kill -9 $$"]],
    "no such program": [["no-such-program"]],
    "no such path": [["/no/such/program"]],
    "not a program": [["/etc/passwd"]],
    "a directory": [["/etc"]],
    "no command": [[]],
    "too long for its time": [["sleep", "100"], 1n],
    "its input is empty": [["cat"]],
    "bytes that are no text": [["printf", "\\377\\000\\376"]],
  };
  for (const [name, [cmd, timeout = 10n]] of Object.entries(commands)) {
    await call(`exec: ${name}`, "ExecSync", { containerId, cmd, timeout }, { pick: withoutWords });
  }
  const streams = (given: object) => ({ containerId, cmd: ["true"], ...given });
  await call("exec: no stream", "Exec", streams({}));
  await call("exec: tty and stderr", "Exec", streams({ tty: true, stdout: true, stderr: true }));
  await call("exec: without a command", "Exec", { containerId, stdout: true });
  await call("attach: no stream", "Attach", { containerId });
  await call("attach: tty to one without", "Attach", { containerId, stdout: true, tty: true });
}

/** What the OCI runtime says on a program's behalf is its own. */
const withoutWords = (answer: Answer) => (answer.exitCode > 125 ? { ...answer, stderr: "" } : answer);

async function updates({ call }: Subject, containerId: string): Promise<void> {
  const updated: Record<string, object> = {
    cpu: { cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n },
    memory: { memoryLimitInBytes: 256n << 20n },
    "a period alone": { cpuPeriod: 50_000n },
    cpuset: { cpusetCpus: "0" },
    "a cpuset that cannot be": { cpusetCpus: "4000" },
    nothing: {},
  };
  for (const [name, linux] of Object.entries(updated)) {
    await call(`update: ${name}`, "UpdateContainerResources", { containerId, linux });
    await call(
      `update: ${name}: status`,
      "ContainerStatus",
      { containerId },
      { pick: ({ status }) => status.resources },
    );
  }
  const files = ["cpu/cpu.shares", "cpu/cpu.cfs_quota_us", "memory/memory.limit_in_bytes", "cpuset/cpuset.cpus"];
  const cmd = ["sh", "-c", `cd /sys/fs/cgroup; cat ${files.join(" ")}`];
  await call("update: as seen inside", "ExecSync", { containerId, cmd });
}

const kindsOfStats = ({ stats }: Answer) => ({
  attributes: stats?.attributes,
  cpu: Number(stats?.cpu?.usageCoreNanoSeconds?.value) > 0,
  memory: Number(stats?.memory?.workingSetBytes?.value) > 0,
  writableLayer: stats?.writableLayer && Object.keys(stats.writableLayer).sort(),
});
