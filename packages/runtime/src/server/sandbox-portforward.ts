import {
  Code,
  CRIError,
  type MessageInitShape,
  type PortForwardRequest,
  type PortForwardResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import type { SandboxRecord } from "../store/records.ts";

/** CRI PortForward: prepares a streaming endpoint and returns its URL. Throws NotFound or FailedPrecondition. */
export async function portForward(
  dependencies: Pick<Context, "sandboxes" | "streaming">,
  request: PortForwardRequest,
): Promise<MessageInitShape<typeof PortForwardResponseSchema>> {
  const { id } = readySandbox(dependencies, request.podSandboxId);
  return dependencies.streaming.getPortForward({ ...request, podSandboxId: id });
}

/** A sandbox by id that is ready. Throws NotFound or FailedPrecondition. */
export function readySandbox({ sandboxes }: Pick<Context, "sandboxes">, id: string): SandboxRecord {
  const sandbox = sandboxes.get(id);
  if (sandbox.state !== "ready") throw new CRIError(Code.FailedPrecondition, `sandbox "${sandbox.id}" is not running`);
  return sandbox;
}
