import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import {
  Code,
  CRIError,
  type MessageInitShape,
  type ReopenContainerLogRequest,
  type ReopenContainerLogResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { isAlive } from "../native/process-id.ts";
import { reopenLog } from "../oci/attach.ts";
import type { ContainerRecord } from "../store/records.ts";
import { prepareReopening, undoReopening } from "./container-log.ts";
import { runningContainer } from "./container-running.ts";

/** How long conmon may take to make the new file, milliseconds. */
const patience = 2000;

/**
 * CRI ReopenContainerLog: after a rotation. Resolves when conmon writes to the file of that name; when it does so already, since
 * nobody has moved it, nothing is done: conmon would put an empty file in its place.
 * Throws NotFound, or FailedPrecondition for a container that does not run: no file is made then. FailedPrecondition or
 * ResourceExhausted, and the container runs on, when no file can be made: see prepareReopening.
 */
export async function reopenContainerLog(
  dependencies: Pick<Context, "containers">,
  { containerId }: ReopenContainerLogRequest,
): Promise<MessageInitShape<typeof ReopenContainerLogResponseSchema>> {
  const container = runningContainer(dependencies, containerId);
  const { id, logPath } = container;
  if (!logPath) throw new CRIError(Code.FailedPrecondition, `container "${id}" has no log`);
  if (await writesToLog(container)) return {};
  await prepareReopening(logPath);
  await reopenLog(dependencies.containers.directoryOf(id));
  const deadline = performance.now() + patience;
  while (!(await writesToLog(container))) {
    if (performance.now() > deadline) {
      if (await isAlive(container.conmon)) throw new Error(`conmon has not reopened ${logPath}`);
      await undoReopening(logPath);
      throw new CRIError(Code.FailedPrecondition, `container "${id}" has ended`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return {};
}

/** Has the container's conmon the file open that has the log's name now? */
async function writesToLog({ logPath, conmon }: ContainerRecord): Promise<boolean> {
  const named = await stat(logPath, { bigint: true }).catch(() => undefined);
  if (!named) return false;
  const directory = `/proc/${conmon.pid}/fd`;
  for (const fd of await readdir(directory).catch(() => [])) {
    const opened = await stat(path.join(directory, fd), { bigint: true }).catch(() => undefined);
    if (opened?.ino === named.ino && opened.dev === named.dev) return true;
  }
  return false;
}
