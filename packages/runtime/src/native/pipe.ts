import { Socket } from "node:net";
import { closeQuietly, lastError, libc } from "./libc.ts";

const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;

/** What a pipe holds before its writer has to wait, bytes, where the stream may be large. Linux's default is 64 KiB. */
export const streamPipeBytes = 256 * 1024;

/** The two ends of a real pipe, both closed on exec. Whoever takes an end closes it. */
export interface Pipe {
  read: number;
  write: number;
}

/**
 * Makes a pipe. A container's stdio must be pipes: on the socketpairs of node:child_process,
 * `> /dev/stdout` and `cat /dev/stdin` fail with ENXIO.
 */
export function openPipe(bytes?: number): Pipe {
  const ends: [number, number] = [-1, -1];
  if (libc.pipe2(ends, O_CLOEXEC) < 0) throw lastError("pipe2", "");
  // A refusal (the user's pipe quota) leaves the default size: slower, not wrong.
  if (bytes) libc.fcntl(ends[1], F_SETPIPE_SZ, bytes);
  return { read: ends[0], write: ends[1] };
}

/** Opens several pipes; none stays open when one fails. */
export function openPipes(...sizes: (number | undefined)[]): Pipe[] {
  const pipes: Pipe[] = [];
  try {
    for (const size of sizes) pipes.push(openPipe(size));
    return pipes;
  } catch (error) {
    for (const { read, write } of pipes) closeQuietly(read, write);
    throw error;
  }
}

/** Our reading end as a stream; the stream owns the descriptor. */
export function readable(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false });
}

/** Our writing end as a stream; the stream owns the descriptor. */
export function writable(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true });
}
