import { open, stat } from "node:fs/promises";
import path from "node:path";
import { type ByteSink, type ByteSource, discard, type TerminalSize } from "@hawser/streaming";
import { SeqpacketSocket } from "node-unix-socket";
import { lastError, libc } from "../native/libc.ts";

/** conmon's packets: one byte for the pipe, then at most 8 KiB. */
const Pipe = { stdout: 2, stderr: 3 } as const;
const packetBytes = 8193;
/** Output that may wait for its reader, bytes: conmon sends what it has, and this socket cannot be paused. */
export const maxAttachBacklog = 16 * 1024 * 1024;
/** What goes to conmon at once, bytes. */
const inputBytes = 8192;

/** Milliseconds that a container may take for what its client had sent when it went. */
const goneMs = 1000;

const FIONREAD = 0x541b;
/** Milliseconds conmon may take to read a line of its fifo. */
const controlPatience = 1000;

export interface AttachOptions {
  /** conmon's attach socket. */
  socketPath: string;
  /** The fifo that resizes the terminal. */
  controlPath: string;
  stdin?: ByteSource | undefined;
  stdout?: ByteSink | undefined;
  stderr?: ByteSink | undefined;
  resize?: AsyncIterable<TerminalSize> | undefined;
  /** Fires when the client is gone. */
  signal: AbortSignal;
}

/**
 * Joins streams to a container's main process, by its conmon, until the container ends or the client goes.
 * The client's end of input is the container's too where it was made with stdinOnce. What it had sent when it went gets 1 s to be
 * taken.
 *
 * Throws when there is no conmon, or the output's reader falls 16 MiB behind.
 *
 * Source: containers/conmon src/conn_sock.c
 */
export async function attachToConmon(options: AttachOptions): Promise<void> {
  const { stdout = discard, stderr = discard, signal } = options;
  signal.throwIfAborted();
  const socket = new SeqpacketSocket();
  socket.setInternalReadBufferSize(packetBytes);
  const over = Promise.withResolvers<void>();
  over.promise.catch(() => undefined); // the client may go while the socket connects, before anybody waits for this
  let backlog = 0;
  let writing = Promise.resolve();
  socket.on("data", (packet: Buffer) => {
    const pipe = packet[0];
    const sink = pipe === Pipe.stdout ? stdout : pipe === Pipe.stderr ? stderr : undefined;
    if (!sink) return;
    const bytes = Buffer.from(packet.subarray(1));
    backlog += bytes.length;
    if (backlog > maxAttachBacklog) over.reject(new Error("the reader of the attached output is too slow"));
    writing = writing.then(async () => {
      await sink.write(bytes);
      backlog -= bytes.length;
    });
    writing.catch(over.reject);
  });
  socket.on("end", () => over.resolve());
  socket.on("close", () => over.resolve());
  socket.on("error", (error: Error) => over.reject(error));
  let fed: Promise<void> | undefined;
  const gone = () => over.reject(signal.reason);
  signal.addEventListener("abort", gone, { once: true });
  try {
    await connect(socket, options.socketPath);
    fed = options.stdin && feed(options.stdin, socket);
    fed?.catch(over.reject);
    if (options.resize) follow(options.resize, options.controlPath).catch(() => undefined); // ends with the session
    await over.promise;
    await writing;
  } finally {
    signal.removeEventListener("abort", gone);
    if (signal.aborted && fed) await settled(fed, goneMs);
    socket.destroy();
  }
}

function connect(socket: SeqpacketSocket, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.connect(socketPath, resolve);
  });
}

async function feed(source: ByteSource, socket: SeqpacketSocket): Promise<void> {
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += inputBytes) {
      const part = Buffer.from(chunk.subarray(at, at + inputBytes));
      await new Promise<void>((resolve) => socket.write(part, 0, part.length, resolve));
    }
  }
  socket.end();
}

/** Waits until a promise is settled, for so many milliseconds at most. */
async function settled(promise: Promise<unknown>, milliseconds: number): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  promise.then(
    () => resolve(),
    () => resolve(),
  );
  await over;
  clearTimeout(timer);
}

async function follow(sizes: AsyncIterable<TerminalSize>, controlPath: string): Promise<void> {
  for await (const { width, height } of sizes) await control(controlPath, `1 ${height} ${width}\n`);
}

/** Tells a conmon to have its log file opened anew, after a rotation. */
export async function reopenLog(bundle: string): Promise<void> {
  await control(path.join(bundle, "ctl"), "2 0 0\n");
}

/** Each fifo's last line, until conmon has read it. */
const lines = new Map<string, Promise<void>>();

/**
 * One line into conmon's fifo, behind those before it, each read before the next is written: of two lines in one read conmon
 * 2.1.6 takes the first one twice and the second never (read_from_ctrl_buffer in its src/ctrl.c), and a terminal kept the size
 * before the last.
 */
async function control(fifo: string, line: string): Promise<void> {
  const before = lines.get(fifo) ?? Promise.resolve();
  const turn = before.catch(() => undefined).then(() => writeLine(fifo, line));
  lines.set(fifo, turn);
  try {
    await turn;
  } finally {
    if (lines.get(fifo) === turn) lines.delete(fifo);
  }
}

/** Opened for both directions, so that it cannot block when conmon is gone. */
async function writeLine(fifo: string, line: string): Promise<void> {
  if (!(await stat(fifo)).isFIFO()) throw new Error(`${fifo} is no fifo`);
  await using file = await open(fifo, "r+");
  await file.write(line);
  for (const deadline = performance.now() + controlPatience; unread(file.fd) > 0 && performance.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function unread(fd: number): number {
  const count = Buffer.alloc(4);
  if (libc.ioctl(fd, FIONREAD, count) < 0) throw lastError("ioctl", "FIONREAD");
  return count.readInt32LE(0);
}
