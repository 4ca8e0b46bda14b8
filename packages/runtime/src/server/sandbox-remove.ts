import {
  ContainerEventType,
  type MessageInitShape,
  type RemovePodSandboxRequest,
  type RemovePodSandboxResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { endPodCgroup } from "../half-made.ts";
import { type RemoveDependencies, removeContainer } from "./container-remove.ts";
import { type StopDependencies, stopPodSandbox } from "./sandbox-stop.ts";

type Dependencies = StopDependencies & RemoveDependencies & Pick<Context, "cgroupMode" | "reaper" | "podCgroups">;

/** How long a conmon may take to end after its container, milliseconds: it is in the pod's cgroup. */
const conmonPatience = 2000;

/**
 * CRI RemovePodSandbox: stops it if need be, and removes it with its containers. Idempotent. When it cannot be stopped to the end
 * its containers go all the same, and the next call tries again.
 */
export async function removePodSandbox(
  dependencies: Dependencies,
  { podSandboxId }: Pick<RemovePodSandboxRequest, "podSandboxId">,
): Promise<MessageInitShape<typeof RemovePodSandboxResponseSchema>> {
  const { sandboxes, containers, events, podCgroups } = dependencies;
  const sandbox = sandboxes.find(podSandboxId);
  if (!sandbox) return {};
  const { id } = sandbox;
  const [stopped] = await Promise.allSettled([stopPodSandbox(dependencies, { podSandboxId: id })]);
  const inside = containers.list().filter(({ sandboxId }) => sandboxId === id);
  const removed = inside.map((container) => removeContainer(dependencies, { containerId: container.id }));
  for (const part of [stopped, ...(await Promise.allSettled(removed))]) {
    if (part.status === "rejected") throw part.reason;
  }
  await sandboxes.lock.run(id, async () => {
    if (!sandboxes.find(id)) return; // another call was first
    await podCgroups.leave(sandbox, async (last) => {
      if (last) await endPodCgroup(dependencies, sandbox, { last, graceMs: conmonPatience });
      events.emit(id, ContainerEventType.CONTAINER_DELETED_EVENT);
      await sandboxes.remove(id);
    });
  });
  return {};
}
