import { libc } from "./libc.ts";

/** Writes out everything the file system of an open file holds in memory. Off the event loop. */
export function syncfs(fd: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  libc.syncfs.async(fd, (error, result) => {
    if (error) reject(error instanceof Error ? error : new Error(String(error)));
    else if (result < 0)
      reject(new Error("syncfs failed")); // its errno stays on the other thread
    else resolve();
  });
  return promise;
}
