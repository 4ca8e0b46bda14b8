import type { MessageInitShape, StartContainerRequest, StartContainerResponseSchema } from "@hawser/cri";
import { Code, ContainerEventType, CRIError } from "@hawser/cri";
import type { Context } from "../context.ts";
import { call } from "../oci/runtime.ts";

type Dependencies = Pick<Context, "reaper" | "oci" | "containers" | "sandboxes" | "now" | "events">;

/** CRI StartContainer. Throws NotFound, or FailedPrecondition when it is not in the created state. */
export async function startContainer(
  dependencies: Dependencies,
  { containerId }: StartContainerRequest,
): Promise<MessageInitShape<typeof StartContainerResponseSchema>> {
  const { containers, sandboxes, now, events } = dependencies;
  const { id, sandboxId } = containers.get(containerId);
  return await containers.lock.run(id, async () => {
    const { state } = containers.get(id);
    if (state !== "created") throw new CRIError(Code.FailedPrecondition, `container "${id}" is in ${state} state`);
    if (sandboxes.get(sandboxId).state !== "ready") {
      throw new CRIError(Code.FailedPrecondition, `sandbox "${sandboxId}" is not running`);
    }
    await call(dependencies, "start", [id]);
    const startedAt = String(now());
    // A short command may have ended, and its end been recorded, before we come here.
    const after = await containers.note(id, (record) =>
      record.state === "created" ? { ...record, startedAt, state: "running" } : { ...record, startedAt },
    );
    events.emit(after.id, ContainerEventType.CONTAINER_STARTED_EVENT);
    return {};
  });
}
