import { stat } from "node:fs/promises";
import type { MessageInitShape, RemoveContainerRequest, RemoveContainerResponseSchema } from "@hawser/cri";
import { ContainerEventType } from "@hawser/cri";
import { removeConmonGroup } from "../cgroup/conmon-group.ts";
import { podCgroupOf } from "../cgroup/parent.ts";
import { controllerPath } from "../cgroup/paths.ts";
import type { Context } from "../context.ts";
import { endCgroup } from "../half-made.ts";
import { removeConmonFiles } from "../oci/conmon.ts";
import type { Exits } from "../store/exits.ts";
import type { ContainerRecord } from "../store/records.ts";
import { endContainer } from "./container-end.ts";
import { deleteIfAny } from "./discard.ts";

export type RemoveDependencies = Pick<
  Context,
  "containers" | "images" | "paths" | "events" | "groups" | "cgroupMode" | "usage" | "reaper" | "oci"
> & {
  exits: Exits;
};

/** The OCI runtime gives up a cgroup that is busy when it deletes the container: with processes that have left the first one, dying. */
async function endLeftCgroup(
  { cgroupMode }: Pick<Context, "cgroupMode">,
  { cgroupPath }: Pick<ContainerRecord, "cgroupPath">,
): Promise<void> {
  const left = await stat(controllerPath(cgroupMode, cgroupPath)).catch(() => undefined);
  if (left) await endCgroup(cgroupMode, cgroupPath);
}

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
    await endLeftCgroup(dependencies, container);
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
