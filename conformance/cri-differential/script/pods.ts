import type { Answer, Subject } from "../subject.ts";
import { containerConfig, sandboxConfig } from "../world.ts";

const keysOfInfo = ({ status, info }: Answer) => ({ status, isInfo: info?.info?.startsWith("{") });

/** Sandboxes through their lives: made, found, stopped, removed, each more than once. */
export async function usePods(subject: Subject): Promise<void> {
  const { call, learn } = subject;
  const run = (step: string, config: object, more: object = {}) =>
    call(`run: ${step}`, "RunPodSandbox", { config, ...more }, { pick: ({ podSandboxId }) => podSandboxId.length });
  const config = (name: string, more: Parameters<typeof sandboxConfig>[2] = {}) => sandboxConfig(subject, name, more);

  await call("run: no config", "RunPodSandbox", {});
  await run("no metadata", { hostname: "h" });
  await run("an unknown handler", config("handler"), { runtimeHandler: "no-such-handler" });
  await run("an unknown sysctl", config("sysctl", { linux: { sysctls: { "kernel.core_pattern": "|/bin/sh" } } }));
  const labels = { app: "web", tier: "front" };
  const first = config("first", { labels, annotations: { note: "kept as it is" } });
  const id = learn((await run("first", first)).podSandboxId, "first");
  await run("the same once more", first);
  const second = learn((await run("second", config("second", { labels: { app: "db" } }))).podSandboxId, "second");
  const hostPort = { portMappings: [{ hostPort: 1, containerPort: 80 }] };
  const node = { ...hostPort, hostname: "", linux: { securityContext: { namespaceOptions: { network: 2 } } } };
  const third = learn((await run("the node's network with a host port", config("third", node))).podSandboxId, "third");
  await call("pod status: the node's network", "PodSandboxStatus", { podSandboxId: third });
  await call("remove a pod in the node's network", "RemovePodSandbox", { podSandboxId: third });
  await call("pod status", "PodSandboxStatus", { podSandboxId: id });
  await call("pod status: verbose", "PodSandboxStatus", { podSandboxId: id, verbose: true }, { pick: keysOfInfo });
  await call("pod status: shortened id", "PodSandboxStatus", { podSandboxId: id.slice(0, 13) });
  for (const [name, filter] of Object.entries({
    "no filter": undefined,
    "an empty filter": {},
    "an id": { id },
    "a shortened id": { id: id.slice(0, 13) },
    "an id and a label": { id, labelSelector: { app: "web" } },
    "an id and another's label": { id, labelSelector: { app: "db" } },
    ready: { state: { state: "SANDBOX_READY" } },
    "not ready": { state: { state: "SANDBOX_NOTREADY" } },
    "two labels": { labelSelector: labels },
    "a label without its value": { labelSelector: { app: "" } },
    "a label nobody has": { labelSelector: { none: "x" } },
  })) {
    await call(`pods: ${name}`, "ListPodSandbox", { filter: inNumbers(filter) });
  }
  await call("pod stats", "PodSandboxStats", { podSandboxId: id }, { pick: kindsOfStats });
  await call("pod stats: list", "ListPodSandboxStats", { filter: { id } }, { pick: ({ stats }) => stats.length });
  await call("port forward", "PortForward", { podSandboxId: id, port: [80] });

  await call("stop a pod", "StopPodSandbox", { podSandboxId: id });
  await call("stop a pod: again", "StopPodSandbox", { podSandboxId: id });
  await call("stopped pod: status", "PodSandboxStatus", { podSandboxId: id });
  await call("stopped: pods ready", "ListPodSandbox", { filter: { state: { state: 0 } } });
  await call("stopped: pods not ready", "ListPodSandbox", { filter: { state: { state: 1 } } });
  await call("stopped: port forward", "PortForward", { podSandboxId: id, port: [80] });
  await call("stopped: a container", "CreateContainer", {
    podSandboxId: id,
    config: containerConfig("late"),
    sandboxConfig: first,
  });
  await run("the stopped one's name", first);
  await call("remove a pod", "RemovePodSandbox", { podSandboxId: id });
  await call("remove a pod: again", "RemovePodSandbox", { podSandboxId: id });
  await call("removed pod: status", "PodSandboxStatus", { podSandboxId: id });
  await call("remove a pod that is ready", "RemovePodSandbox", { podSandboxId: second });
  await call("pods: at the end", "ListPodSandbox", {});
}

function inNumbers(filter: Answer) {
  const states = ["SANDBOX_READY", "SANDBOX_NOTREADY"];
  return filter?.state ? { ...filter, state: { state: states.indexOf(filter.state.state) } } : filter;
}

const kindsOfStats = ({ stats }: Answer) => ({
  attributes: stats?.attributes,
  cpu: stats?.linux?.cpu && Object.keys(stats.linux.cpu),
  memory: Number(stats?.linux?.memory?.workingSetBytes?.value) > 0,
  interface: stats?.linux?.network?.defaultInterface?.name,
  processes: Number(stats?.linux?.process?.processCount?.value) > 0,
});
