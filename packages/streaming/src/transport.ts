import type { Duplex } from "node:stream";
import { StreamError } from "./errors.ts";
import { roomIn } from "./node.ts";

/** Receives what a transport reads. */
export interface TransportHandler {
  /** A view that stays valid; the transport never touches it again. */
  data(chunk: Buffer): void;
  /** Nothing more will come: EOF without an error, or the failure. Called once. */
  end(error?: Error): void;
}

/** Bytes both ways, as a connection that multiplexes over them needs it: a socket, or a WebSocket tunnel. */
export interface Transport {
  /** Begins to read. */
  start(handler: TransportHandler): void;
  pause(): void;
  resume(): void;
  /** Queues the parts as one write. False: wait for drained() before the next. Ignored once closed. */
  write(parts: readonly Uint8Array[]): boolean;
  /** Resolves when there is room again; rejects when the transport is gone. */
  drained(): Promise<void>;
  /** Sends our end after all that was written. */
  end(): void;
  destroy(): void;
  readonly closed: Promise<void>;
}

interface SocketLike extends Duplex {
  setNoDelay?(noDelay: boolean): unknown;
  setKeepAlive?(enable: boolean, initialDelay: number): unknown;
  setTimeout?(timeout: number): unknown;
}

/** Milliseconds of silence after which the kernel asks whether the peer is still there. */
const keepAliveDelay = 15_000;

/** Readies a socket for streaming: no delay for small writes, no idle timeout from HTTP, dead peers noticed by the kernel. */
export function tuneSocket(socket: SocketLike): void {
  socket.setTimeout?.(0);
  socket.setNoDelay?.(true);
  socket.setKeepAlive?.(true, keepAliveDelay);
}

/** A socket as a transport. `head` are bytes that were read from it already. */
export function socketTransport(socket: Duplex, head: Buffer): Transport {
  tuneSocket(socket);
  const room = roomIn(socket);
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  if (socket.closed) resolve();
  socket.once("close", () => resolve());
  return {
    start(handler) {
      let ended = false;
      const end = (error?: Error) => {
        if (ended) return;
        ended = true;
        handler.end(error);
      };
      socket.on("end", () => end());
      socket.on("error", (cause) => end(new StreamError("lost", `connection lost: ${cause.message}`, { cause })));
      socket.on("close", () => end(new StreamError("lost", "connection closed")));
      if (head.byteLength > 0) handler.data(head);
      if (socket.readableEnded) end();
      else if (socket.destroyed) end(new StreamError("lost", "connection closed"));
      else socket.on("data", (chunk: Buffer) => handler.data(chunk));
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    write: (parts) => writeParts(socket, parts),
    drained: room,
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    closed,
  };
}

/** Writes the parts together (one writev), without joining them. */
export function writeParts(socket: Duplex, parts: readonly Uint8Array[]): boolean {
  if (socket.destroyed || socket.writableEnded) return true;
  const [first] = parts;
  if (parts.length === 1 && first) return socket.write(first);
  let free = true;
  socket.cork();
  for (const part of parts) free = socket.write(part);
  socket.uncork();
  return free;
}
