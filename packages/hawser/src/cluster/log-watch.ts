import { watch } from "node:fs";
import { open } from "node:fs/promises";
import { type ClusterPaths, type Hop, logFile } from "./paths.ts";

/**
 * Resolves when the hop's log, from `offset` bytes on, holds its line `hawser-HOP ready`: each hop prints it once it
 * serves. Rejects with the signal's reason.
 */
export async function readyInLog(paths: ClusterPaths, hop: Hop, offset: number, signal: AbortSignal): Promise<void> {
  const wanted = `hawser-${hop} ready`;
  const path = logFile(paths, hop);
  let changed = bell();
  const watcher = watch(path, () => changed.resolve());
  watcher.on("error", (err) => changed.reject(err));
  const onAbort = () => changed.reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    let tail = "";
    await using file = await open(path, "r");
    let position = (await file.stat()).size < offset ? 0 : offset; // a log that someone has emptied begins anew
    const chunk = Buffer.alloc(64 * 1024);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
      if (bytesRead > 0) {
        position += bytesRead;
        tail = (tail + chunk.toString("latin1", 0, bytesRead)).slice(-chunk.length - wanted.length);
        if (tail.includes(wanted)) return;
        continue;
      }
      await changed.promise;
      changed = bell();
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    watcher.close();
  }
}

/** A promise that may be rejected while nobody waits for it. */
function bell(): PromiseWithResolvers<void> {
  const next = Promise.withResolvers<void>();
  next.promise.catch(() => {});
  return next;
}
