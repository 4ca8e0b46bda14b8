import { readSync } from "node:fs";
import { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** Bytes read of what a peer had sent before it closed on us, at most; and at once. */
const [mostBytes, atOnce] = [1024 * 1024, 64 * 1024];

/**
 * Where a write finds that the peer has closed, what the peer had sent before that is still in the kernel, a command's Status perhaps; Node would drop it with the
 * connection. It is given to `take` first. A peer that closes while our bytes are on their way to it resets the connection: that is what servers do
 * whose command has ended without reading its input.
 *
 * For plain sockets: what TLS has not decrypted cannot be read so. Nothing is waited for: the descriptor does not block.
 */
export function readUnread(socket: object, take: (bytes: Buffer) => void): void {
  if (!(socket instanceof Socket) || socket instanceof TLSSocket) return;
  const destroy = socket.destroy;
  socket.destroy = (error) => {
    socket.destroy = destroy;
    if (metClosing(error)) for (const bytes of unreadOf(socket)) take(bytes);
    return destroy.call(socket, error);
  };
}

function metClosing(error?: NodeJS.ErrnoException): boolean {
  return error?.syscall === "write" && (error.code === "EPIPE" || error.code === "ECONNRESET");
}

function* unreadOf(socket: Socket & { _handle?: { fd?: number } | null }): Generator<Buffer> {
  const fd = socket._handle?.fd ?? -1;
  for (let total = 0; fd >= 0 && total < mostBytes; ) {
    const buffer = Buffer.allocUnsafeSlow(atOnce);
    let bytes = 0;
    try {
      bytes = readSync(fd, buffer);
    } catch {
      return; // nothing more, or the reset itself
    }
    if (bytes === 0) return;
    total += bytes;
    yield buffer.subarray(0, bytes);
  }
}
