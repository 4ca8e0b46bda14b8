import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type PeerWords, StreamError, wordsOf } from "./errors.ts";
import { heldBy, roomIn } from "./node.ts";
import { type ChunkTaker, readReused } from "./read-reused.ts";
import { readUnread } from "./unread.ts";

/** Receives what a transport reads. */
export interface TransportHandler {
  data: ChunkTaker;
  /** Nothing more will come: EOF without an error, or the failure. Called once. */
  end(error?: Error): void;
}

/** Bytes both ways, as a connection that multiplexes over them needs it: a socket, or a WebSocket tunnel. */
export interface Transport {
  /** Begins to read. */
  start(handler: TransportHandler): void;
  pause(): void;
  resume(): void;
  /** Queues the parts as one write. Ignored once closed. `taken`, where it is called, tells that their memory is free again. */
  write(parts: readonly Uint8Array[], taken?: () => void): void;
  /** Undefined when there is room for a write; else what to wait for before asking again. Rejects when the transport is gone. */
  room(): Promise<void> | undefined;
  /**
   * Sends our end after all that was written, however long the peer takes for that, up to four hours (or, with `withinMs`, so
   * many milliseconds), and closes up to 5 s later.
   */
  end(withinMs?: number): void;
  destroy(): void;
  readonly closed: Promise<void>;
  /** Bytes written that the peer's side has not taken yet. */
  readonly backlog: number;
  /** Bytes written whose memory is still in use; more than 0 where that cannot be told. */
  readonly held: number;
}

/** Bytes that may wait in a socket before its writers do. */
const writeMark = 128 * 1024;

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
  const drained = roomIn(socket);
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
      socket.on("error", (cause) => end(lostBy(cause)));
      socket.on("close", () => end(closedError()));
      if (head.byteLength > 0) handler.data(head);
      if (socket.readableEnded) end();
      else if (socket.destroyed) end(closedError());
      else {
        readReused(socket, (chunk) => handler.data(chunk));
        readUnread(socket, (bytes) => void handler.data(bytes));
      }
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    write: (parts, taken) => writeParts(socket, parts, taken),
    room: () => roomToWrite(socket, drained),
    end: (withinMs) => endSocket(socket, withinMs),
    destroy: () => void socket.destroy(),
    closed,
    get backlog() {
      return socket.writableLength;
    },
    get held() {
      return heldBy(socket);
    },
  };
}

/** Milliseconds that the peer may take to close once it has all we sent. */
const lingerMs = 5000;

/** Milliseconds that a peer may take for what was written before the end: as long as a session may be idle. */
const drainMs = 4 * 3600 * 1000;

function lostBy(cause: Error): StreamError {
  const words: PeerWords = (peer) => {
    const connection = cause instanceof StreamError ? "connection" : connectionWith(peer); // it names its peer itself
    return `${connection} lost: ${wordsOf(cause, peer)}`;
  };
  return new StreamError("lost", words, { cause });
}

function closedError(): StreamError {
  return new StreamError("lost", (peer) => `${connectionWith(peer)} closed`);
}

function connectionWith(peer: string | undefined): string {
  return peer === undefined ? "connection" : `connection with ${peer}`;
}

/** Half-closes, and closes when the peer does, or some time after our last byte has left. Never before: it may be the status. */
export function endSocket(socket: Duplex, withinMs = drainMs): void {
  destroyAfter(socket, withinMs);
  if (!socket.writableEnded && !socket.destroyed) socket.end(() => destroyAfter(socket, lingerMs));
}

function destroyAfter(socket: Duplex, milliseconds: number) {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), milliseconds);
  socket.once("close", () => clearTimeout(timer));
}

/** Writes the parts together (one writev), without joining them. */
export function writeParts(socket: Duplex, parts: readonly Uint8Array[], taken?: () => void): void {
  if (socket.destroyed || socket.writableEnded) return;
  const [first] = parts;
  if (parts.length === 1 && first) {
    writeOne(socket, first, taken);
    return;
  }
  socket.cork();
  for (const part of parts) socket.write(part);
  socket.uncork();
}

/** The callback comes late: of many writes that the kernel takes at once, not before there is nothing else to do. */
function writeOne(socket: Duplex, part: Uint8Array, taken?: () => void) {
  let waiting = socket instanceof Socket ? taken : undefined;
  const free = () => {
    const tell = waiting;
    waiting = undefined;
    tell?.();
  };
  socket.write(part, waiting && ((error) => error ?? free()));
  if (heldBy(socket) === 0) free();
}

/**
 * The stream's own mark is of no use to many small writers: a single large write exceeds it although the kernel took it at once.
 * `drained` is roomIn()'s wait.
 */
export function roomToWrite(socket: Duplex, drained: () => Promise<void>): Promise<void> | undefined {
  if (socket.destroyed || socket.writableEnded) return drained();
  return socket.writableLength >= writeMark && socket.writableNeedDrain ? drained() : undefined;
}
