import type { Subject } from "../subject.ts";

/** What is asked of a runtime that has nothing yet: versions, empty lists, ids that nobody has. */
export async function askOfNothing({ call }: Subject): Promise<void> {
  await call("version", "Version", {});
  await call("version: of v1", "Version", { version: "v1" });
  await call("version: by v1alpha2", "Version", { version: "v1alpha2" }, { version: "v1alpha2" });
  await call("status", "Status", {});
  await call("update of the config: empty", "UpdateRuntimeConfig", {});
  await call("update of the config: addresses", "UpdateRuntimeConfig", {
    runtimeConfig: { networkConfig: { podCidr: "10.250.0.0/24" } },
  });
  for (const method of ["ListPodSandbox", "ListContainers", "ListContainerStats", "ListPodSandboxStats"]) {
    await call(`nothing: ${method}`, method, {});
    await call(`nothing: ${method} of an id`, method, { filter: { id: "0123456789ab" } });
  }
  for (const [name, id] of [
    ["an unknown id", "0123456789abcdef"],
    ["no id", ""],
  ] as const) {
    const sandbox = { podSandboxId: id };
    const container = { containerId: id };
    await call(`${name}: PodSandboxStatus`, "PodSandboxStatus", sandbox);
    await call(`${name}: StopPodSandbox`, "StopPodSandbox", sandbox);
    await call(`${name}: RemovePodSandbox`, "RemovePodSandbox", sandbox);
    await call(`${name}: PodSandboxStats`, "PodSandboxStats", sandbox);
    await call(`${name}: PortForward`, "PortForward", { ...sandbox, port: [80] });
    await call(`${name}: CreateContainer`, "CreateContainer", {
      ...sandbox,
      config: { metadata: { name: "c" }, image: { image: "i" } },
      sandboxConfig: {},
    });
    await call(`${name}: StartContainer`, "StartContainer", container);
    await call(`${name}: StopContainer`, "StopContainer", container);
    await call(`${name}: RemoveContainer`, "RemoveContainer", container);
    await call(`${name}: ContainerStatus`, "ContainerStatus", container);
    await call(`${name}: ContainerStats`, "ContainerStats", container);
    await call(`${name}: UpdateContainerResources`, "UpdateContainerResources", { ...container, linux: {} });
    await call(`${name}: ReopenContainerLog`, "ReopenContainerLog", container);
    await call(`${name}: ExecSync`, "ExecSync", { ...container, cmd: ["true"] });
    await call(`${name}: Exec`, "Exec", { ...container, cmd: ["true"], stdout: true });
    await call(`${name}: Attach`, "Attach", { ...container, stdout: true });
  }
}
