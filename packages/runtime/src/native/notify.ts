import { DgramSocket } from "node-unix-socket";

/**
 * Tells the service manager that started us how we are: `READY=1`, `STOPPING=1`. Does nothing where nobody asked for it.
 * Rejects when the manager's socket cannot be reached.
 *
 * Source: systemd's sd_notify(3)
 */
export async function notify(state: string, path = process.env.NOTIFY_SOCKET): Promise<void> {
  if (!path) return;
  // In the abstract name space (a leading @) a name begins with a zero byte.
  const to = path.startsWith("@") ? `\0${path.slice(1)}` : path;
  const socket = new DgramSocket();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on("error", reject);
  const bytes = Buffer.from(`${state}\n`);
  try {
    socket.sendTo(bytes, 0, bytes.length, to, (error) => (error ? reject(error) : resolve()));
    await promise;
  } catch (cause) {
    throw new Error(`cannot notify ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    socket.close();
  }
}
