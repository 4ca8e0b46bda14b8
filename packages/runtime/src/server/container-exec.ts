// Step 6 of 8. Before: kubelet/src/server/exec.ts. After: cri/src/streaming/server.ts (the URL we return).
import { Code, CRIError, type ExecRequest, type ExecResponseSchema, type MessageInitShape } from "@hawser/cri";
import type { Context } from "../context.ts";
import { runningContainer } from "./container-running.ts";

/**
 * CRI Exec: prepares a streaming endpoint and returns its URL. Nothing runs yet; the command starts when someone
 * opens the URL.
 *
 * Throws CRIError NotFound (no such container), FailedPrecondition (not running) or InvalidArgument (no command);
 * the streaming server refuses a request for no stream, or for tty with stderr.
 */
export async function exec(
  dependencies: Pick<Context, "containers" | "streaming">,
  request: ExecRequest,
): Promise<MessageInitShape<typeof ExecResponseSchema>> {
  const { id } = runningContainer(dependencies, request.containerId);
  if (request.cmd.length === 0) throw new CRIError(Code.InvalidArgument, "command is empty");
  return dependencies.streaming.getExec({ ...request, containerId: id });
}
