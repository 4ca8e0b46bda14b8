// Step 6 of 8. Before: kubelet/src/server/exec.ts. After: cri/src/streaming/server.ts (the URL we return).
import type { ExecRequest, ExecResponseSchema, MessageInitShape } from "@hawser/cri";
import type { Context } from "../context.ts";
import { checkCommand } from "./check-input.ts";
import { runningContainer } from "./container-running.ts";

/**
 * CRI Exec: prepares a streaming endpoint and returns its URL. Nothing runs yet; the command starts when someone
 * opens the URL.
 *
 * Throws CRIError NotFound (no such container), FailedPrecondition (not running) or InvalidArgument (no command, a NUL);
 * the streaming server refuses a request for no stream, or for tty with stderr.
 */
export async function exec(
  dependencies: Pick<Context, "containers" | "streaming">,
  request: ExecRequest,
): Promise<MessageInitShape<typeof ExecResponseSchema>> {
  const { id } = runningContainer(dependencies, request.containerId);
  checkCommand(request.cmd);
  return dependencies.streaming.getExec({ ...request, containerId: id });
}
