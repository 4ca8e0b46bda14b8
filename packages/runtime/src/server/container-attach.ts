import type { AttachRequest, AttachResponseSchema, MessageInitShape } from "@hawser/cri";
import type { Context } from "../context.ts";
import { runningContainer } from "./container-running.ts";

/** CRI Attach: prepares a streaming endpoint and returns its URL. Throws NotFound or FailedPrecondition. */
export async function attach(
  dependencies: Pick<Context, "containers" | "streaming">,
  request: AttachRequest,
): Promise<MessageInitShape<typeof AttachResponseSchema>> {
  const { id } = runningContainer(dependencies, request.containerId);
  return dependencies.streaming.getAttach({ ...request, containerId: id });
}
