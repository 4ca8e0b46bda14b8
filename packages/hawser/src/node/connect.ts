import { access, constants } from "node:fs/promises";
import { type CRIConnection, connectCRI, socketPathOf } from "@hawser/cri";

/** How long a runtime may take to answer, milliseconds. */
const connectMs = 3_000;

/** Connects at once or not at all. Throws an Error that says why. */
export async function connectTo(endpoint: string): Promise<CRIConnection> {
  const socket = socketPathOf(endpoint);
  await access(socket, constants.R_OK | constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "EACCES")
      throw new Error(`${socket}: permission denied; the runtime's socket is root's`, { cause });
    if (cause.code === "ENOENT") throw new Error(`no runtime runs on ${endpoint}: there is no such socket`, { cause });
    throw cause;
  });
  return await connectCRI({ endpoint, timeoutMs: connectMs });
}
