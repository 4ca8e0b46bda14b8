import { stat } from "node:fs/promises";
import {
  Code,
  CRIError,
  type MessageInitShape,
  type ReopenContainerLogRequest,
  type ReopenContainerLogResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { reopenLog } from "../oci/attach.ts";
import { runningContainer } from "./container-running.ts";

/** How long conmon may take to make the new file, milliseconds. */
const patience = 2000;

/**
 * CRI ReopenContainerLog: after a rotation. Resolves when the new file is there.
 * Throws NotFound, or FailedPrecondition for a container that does not run: no file is made then.
 */
export async function reopenContainerLog(
  dependencies: Pick<Context, "containers">,
  { containerId }: ReopenContainerLogRequest,
): Promise<MessageInitShape<typeof ReopenContainerLogResponseSchema>> {
  const { id, logPath } = runningContainer(dependencies, containerId);
  if (!logPath) throw new CRIError(Code.FailedPrecondition, `container "${id}" has no log`);
  await reopenLog(dependencies.containers.directoryOf(id));
  const deadline = performance.now() + patience;
  while (!(await stat(logPath).catch(() => undefined))) {
    if (performance.now() > deadline) throw new Error(`conmon has not reopened ${logPath}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return {};
}
