import type { ContainerEventType } from "@hawser/cri";
import type { Context } from "../context.ts";
import { describeContainerStatus, describeSandboxStatus } from "./describe.ts";
import type { ContainerEvent } from "./events.ts";

/** What an event of a container, or of a sandbox, says: how the whole pod stands. Undefined when the pod is gone. */
export function describeEvent(
  { sandboxes, containers, now }: Pick<Context, "sandboxes" | "containers" | "now">,
  id: string,
  type: ContainerEventType,
): ContainerEvent | undefined {
  const sandboxId = containers.find(id)?.sandboxId ?? id;
  const sandbox = sandboxes.find(sandboxId);
  if (!sandbox) return undefined;
  return {
    containerId: id,
    containerEventType: type,
    createdAt: now(),
    podSandboxStatus: describeSandboxStatus(sandbox),
    containersStatuses: containers
      .list()
      .filter((record) => record.sandboxId === sandboxId)
      .map(describeContainerStatus),
  };
}
