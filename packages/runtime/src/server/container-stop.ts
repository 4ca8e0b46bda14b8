import type { CallContext, MessageInitShape, StopContainerRequest, StopContainerResponseSchema } from "@hawser/cri";
import type { Context } from "../context.ts";
import type { Exits } from "../store/exits.ts";
import { endContainer } from "./container-end.ts";

type Dependencies = Pick<Context, "containers"> & { exits: Exits };

/**
 * CRI StopContainer: the stop signal, `timeout` seconds of grace, SIGKILL. Idempotent: what is unknown, not started or
 * ended is fine. The caller's going away ends the waiting, not the container.
 */
export async function stopContainer(
  { containers, exits }: Dependencies,
  { containerId, timeout }: StopContainerRequest,
  { signal }: CallContext,
): Promise<MessageInitShape<typeof StopContainerResponseSchema>> {
  const container = containers.find(containerId);
  if (!container) return {};
  // Not under the container's lock: a second call with a shorter grace has to come through.
  if (container.state === "running") await endContainer({ exits, signal }, container, Number(timeout) * 1000);
  return {};
}
