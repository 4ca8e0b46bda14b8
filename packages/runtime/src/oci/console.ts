import { unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import path from "node:path";
import { ReadStream } from "node:tty";
import type { TerminalSize } from "@hawser/streaming";
import { closeQuietly, lastError, libc } from "../native/libc.ts";
import { receiveNow } from "../native/socket.ts";

const TIOCSWINSZ = 0x5414;
/** How often the socket is looked at for the descriptor that follows the connection, milliseconds. */
const lookInterval = 1;
/** How long it may take to follow, milliseconds. */
const patience = 5000;

let serial = 0;

/** A socket on which the OCI runtime hands us the master of a container's terminal. */
export interface ConsoleSocket extends AsyncDisposable {
  path: string;
  /** The master's descriptor; the receiver's to close. Rejects when `signal` fires first. */
  master(signal: AbortSignal): Promise<number>;
}

/** Listens on a fresh path in `directory`, which must be short: a socket's path has 107 bytes at most. */
export async function openConsoleSocket(directory: string): Promise<ConsoleSocket> {
  const socketPath = path.join(directory, `console-${++serial}`);
  await unlink(socketPath).catch(() => undefined);
  const server = createServer({ pauseOnConnect: true });
  const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return {
    path: socketPath,
    async master(signal) {
      const socket = await Promise.race([connected, rejection(signal)]);
      try {
        return await receiveDescriptor(descriptorOf(socket), signal);
      } finally {
        socket.destroy();
      }
    },
    [Symbol.asyncDispose]: () => close(server),
  };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Node has no public name for a socket's descriptor; this one has been there since Node 0.6. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } };
  if (typeof handle?.fd !== "number" || handle.fd < 0) throw new Error("the console socket has no descriptor");
  return handle.fd;
}

async function receiveDescriptor(socket: number, signal: AbortSignal): Promise<number> {
  const deadline = performance.now() + patience;
  for (;;) {
    const message = receiveNow(socket);
    if (message?.fd !== undefined) return message.fd;
    if (message) throw new Error("the OCI runtime closed the console socket without a terminal");
    signal.throwIfAborted();
    if (performance.now() > deadline) throw new Error("no terminal came over the console socket");
    await new Promise((resolve) => setTimeout(resolve, lookInterval));
  }
}

/**
 * A terminal's master as a stream, both ways. Its end shows as EIO: treat that as EOF. The descriptor is the stream's, or closed.
 */
export function terminalStream(master: number): ReadStream {
  try {
    return new ReadStream(master);
  } catch (error) {
    closeQuietly(master);
    throw error;
  }
}

/** Tells the kernel, and so the foreground program (SIGWINCH), a terminal's size. */
export function setTerminalSize(master: number, { width, height }: TerminalSize): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(height, 0);
  size.writeUInt16LE(width, 2);
  if (libc.ioctl(master, TIOCSWINSZ, size) < 0) throw lastError("ioctl", "TIOCSWINSZ");
}
