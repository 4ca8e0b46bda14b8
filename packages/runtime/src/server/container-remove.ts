import type { MessageInitShape, RemoveContainerRequest, RemoveContainerResponseSchema } from "@hawser/cri";
import { ContainerEventType } from "@hawser/cri";
import { removeConmonGroup } from "../cgroup/conmon-group.ts";
import { podCgroupOf } from "../cgroup/parent.ts";
import type { Context } from "../context.ts";
import { removeConmonFiles } from "../oci/conmon.ts";
import type { Exits } from "../store/exits.ts";
import { endContainer } from "./container-end.ts";
import { deleteIfAny } from "./discard.ts";

export type RemoveDependencies = Pick<
  Context,
  "containers" | "images" | "paths" | "events" | "groups" | "cgroupMode" | "usage" | "reaper" | "oci"
> & {
  exits: Exits;
};

/** CRI RemoveContainer: kills it if need be, and removes all there is of it. Idempotent. */
export async function removeContainer(
  dependencies: RemoveDependencies,
  { containerId }: Pick<RemoveContainerRequest, "containerId">,
): Promise<MessageInitShape<typeof RemoveContainerResponseSchema>> {
  const { containers, images, paths, groups, exits, events } = dependencies;
  const id = containers.find(containerId)?.id;
  if (id === undefined) return {};
  await containers.lock.run(id, async () => {
    const container = containers.find(id);
    if (!container) return; // another call was first
    await endContainer({ exits }, container, 0);
    await exits.look(id); // its end is fully dealt with
    await deleteIfAny(dependencies, id); // where that could not be done at its end
    await groups.forget(id);
    await images.releaseRootfs(id);
    await removeConmonFiles({ exitDir: paths.exits, socketDir: paths.sockets }, id);
    const cgroupParent = podCgroupOf(container.cgroupPath);
    await removeConmonGroup(dependencies.cgroupMode, { cgroupParent, containerId: id });
    dependencies.usage.forget(container.cgroupPath);
    events.emit(id, ContainerEventType.CONTAINER_DELETED_EVENT);
    await containers.remove(id);
    exits.forget(id);
  });
  return {};
}
