import { constants } from "node:os";
import type { MessageInitShape, StartContainerRequest, StartContainerResponseSchema } from "@hawser/cri";
import { Code, ContainerEventType, CRIError } from "@hawser/cri";
import type { Context } from "../context.ts";
import { signalProcess } from "../native/process-id.ts";
import { call } from "../oci/runtime.ts";
import type { Exits } from "../store/exits.ts";

type Dependencies = Pick<Context, "reaper" | "oci" | "containers" | "sandboxes" | "now" | "events"> & { exits: Exits };

/** As containerd says it of a container that could not be started. Source: containerd internal/cri/server/container_start.go */
const startError = { exitCode: 128, reason: "StartError" };

/**
 * CRI StartContainer. Throws NotFound, FailedPrecondition when it is not in the created state, or the OCI runtime's words:
 * the container has ended then, whatever had become of its process.
 */
export async function startContainer(
  dependencies: Dependencies,
  { containerId }: StartContainerRequest,
): Promise<MessageInitShape<typeof StartContainerResponseSchema>> {
  const { containers, sandboxes, exits, now, events } = dependencies;
  const { id, sandboxId } = containers.get(containerId);
  return await containers.lock.run(id, async () => {
    const { state, init } = containers.get(id);
    if (state !== "created") throw new CRIError(Code.FailedPrecondition, `container "${id}" is in ${state} state`);
    if (sandboxes.get(sandboxId).state !== "ready") {
      throw new CRIError(Code.FailedPrecondition, `sandbox "${sandboxId}" is not running`);
    }
    try {
      await call(dependencies, "start", [id]);
    } catch (error) {
      await signalProcess(init, constants.signals.SIGKILL);
      const message = error instanceof Error ? error.message : String(error);
      await exits.report(id, { ...startError, message, at: now() });
      throw error;
    }
    const startedAt = String(now());
    // A short command may have ended, and its end been recorded, before we come here.
    const after = await containers.note(id, (record) =>
      record.state === "created" ? { ...record, startedAt, state: "running" } : { ...record, startedAt },
    );
    events.emit(after.id, ContainerEventType.CONTAINER_STARTED_EVENT);
    return {};
  });
}
