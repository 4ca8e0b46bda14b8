import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * Lets one command at a time work on a data directory. Waits for another to finish: `waiting` is called each time,
 * with the other's pid. The lock is a socket in the abstract namespace, so it goes with its holder, however that ends.
 */
export async function lockCluster(
  dataDir: string,
  { signal, waiting }: { signal?: AbortSignal | undefined; waiting?: ((pid: string) => void) | undefined } = {},
): Promise<AsyncDisposable> {
  const path = `\0hawser-${createHash("sha256").update(dataDir).digest("hex").slice(0, 32)}`;
  for (;;) {
    signal?.throwIfAborted();
    const lock = await hold(path);
    if (lock) return lock;
    await untilReleased(path, signal, waiting);
  }
}

async function hold(path: string): Promise<AsyncDisposable | undefined> {
  const waiters = new Set<Socket>();
  const server = createServer((waiter) => {
    waiters.add(waiter);
    waiter.on("close", () => waiters.delete(waiter)).on("error", () => {});
    waiter.unref().write(`${process.pid}\n`);
  });
  server.listen(path);
  try {
    await once(server, "listening");
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "EADDRINUSE") return undefined;
    throw err;
  }
  server.unref();
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const waiter of waiters) waiter.destroy();
      await closed;
    },
  };
}

/** Resolves when the holder lets go or ends: its end of the connection closes. */
async function untilReleased(path: string, signal?: AbortSignal, waiting?: (pid: string) => void): Promise<void> {
  const socket = connect({ path, ...(signal && { signal }) });
  socket.setEncoding("utf8").once("data", (pid) => waiting?.(String(pid).trim()));
  try {
    await once(socket, "close");
  } catch (err) {
    signal?.throwIfAborted();
    const { code } = err as NodeJS.ErrnoException;
    if (code !== "ECONNREFUSED" && code !== "ECONNRESET") throw err; // it ended between our two steps
  }
}
