import type { ContainerConfig } from "@hawser/cri";
import { Code, CRIError, NamespaceMode } from "@hawser/cri";
import type { Context } from "../context.ts";
import { containerNamespaces } from "../oci/container-spec.ts";
import type { Linux } from "../oci/types.ts";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";

/**
 * The namespaces that a container is to have: its sandbox', its own, or those of another container of the sandbox.
 * Throws NotFound, InvalidArgument or FailedPrecondition for a target that cannot be.
 */
export function namespacesOf(
  { containers, host }: Pick<Context, "containers" | "host">,
  sandbox: SandboxRecord,
  config: ContainerConfig,
): Linux["namespaces"] {
  const asked = config.linux?.securityContext?.namespaceOptions;
  const pid = asked?.pid ?? sandbox.namespaces.pid;
  return containerNamespaces({
    pausePid: sandbox.pause?.pid ?? 0,
    network: sandbox.namespaces.network,
    ipc: sandbox.namespaces.ipc,
    pid,
    netns: sandbox.network?.netns,
    users: sandbox.users,
    targetPid: pid === NamespaceMode.TARGET ? targetPid(containers.get(asked?.targetId ?? ""), sandbox) : undefined,
    cgroup: host.cgroup,
  });
}

function targetPid(target: ContainerRecord, sandbox: SandboxRecord): number {
  if (target.sandboxId !== sandbox.id) {
    throw new CRIError(Code.InvalidArgument, `container "${target.id}" is not in sandbox "${sandbox.id}"`);
  }
  if (target.state !== "running") {
    throw new CRIError(
      Code.FailedPrecondition,
      `container "${target.id}" is not running: its processes cannot be shared`,
    );
  }
  return target.init.pid;
}
