import { lstat, mkdir, unlink } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";

/**
 * Makes `socketPath` free to listen on: its folder exists (made with mode 0700 if need be) and a dead socket is gone.
 *
 * Throws when a live server answers there, or when something other than a socket is in the way.
 */
export async function claimSocket(socketPath: string): Promise<void> {
  await mkdir(path.dirname(socketPath), { recursive: true, mode: 0o700 });
  const found = await lstat(socketPath).catch(absent);
  if (!found) return;
  if (!found.isSocket()) throw new Error(`${socketPath} exists and is not a socket`);
  if (await answers(socketPath)) throw new Error(`${socketPath} is in use by a running server`);
  await unlink(socketPath).catch(absent);
}

function answers(socketPath: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(socketPath);
  socket.once("connect", () => resolve(true));
  socket.once("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
    else if (error.code === "EAGAIN")
      resolve(true); // its backlog is full: it lives
    else reject(new Error(`cannot tell whether ${socketPath} is in use`, { cause: error }));
  });
  return promise.finally(() => socket.destroy());
}

function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
