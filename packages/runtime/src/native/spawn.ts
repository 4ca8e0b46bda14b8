import { openSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { turn } from "../turns.ts";
import { closeQuietly, lastError, libc, systemError } from "./libc.ts";
import { devNull } from "./null-device.ts";
import { openPipe, readable } from "./pipe.ts";
import type { Reaper } from "./reaper.ts";
import { NotAskedError, type Started } from "./starter-request.ts";

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const MFD_CLOEXEC = 1;
/** Larger than any of libc's spawn objects and signal sets, bytes. */
const objectBytes = 512;
/** What is kept of each output of a helper program, bytes; the rest is read and dropped. */
const maxCaptured = 1024 * 1024;
/** What a helper program is told at most, bytes. */
const maxInput = 1024 * 1024;
/** What fits into a fresh pipe without its reader, bytes. */
export const pipeBytes = 60 * 1024;

export interface Command {
  /** Absolute path of the program. */
  path: string;
  /** Without the program's own name. */
  args: string[];
  /** The program's own name, if it is not its path. */
  name?: string;
  env?: Record<string, string>;
  /** Our descriptors that become 0, 1, 2, …; -1 for /dev/null. */
  stdio: number[];
  cwd?: string | undefined;
}

export interface Child {
  pid: number;
  /** The exit code; 128 + n after signal n. */
  exited: Promise<number>;
}

const defaultEnv = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

/**
 * Starts a program as spawn() does, but without holding the event loop, by the reaper's starter. Where that is not to be had,
 * by spawn(), or `otherwise`, which a program with a sight of its own needs. Throws the signal's reason too.
 */
export async function start(
  { reaper }: { reaper: Reaper },
  command: Started & { otherwise?: typeof spawn },
  signal?: AbortSignal,
): Promise<Child> {
  try {
    if (!reaper.starter) throw new NotAskedError("there is none");
    const pid = await reaper.starter.start({ ...command, env: { ...defaultEnv, ...command.env } }, signal);
    return { pid, exited: reaper.wait(pid) };
  } catch (error) {
    if (!(error instanceof NotAskedError)) throw error;
    signal?.throwIfAborted();
    return (command.otherwise ?? spawn)({ reaper }, command);
  }
}

/**
 * Starts a program by posix_spawn: in 0.1 ms however large this process is, where node:child_process
 * forks and copies page tables. Signals are at their defaults in it (Node ignores SIGPIPE), and it gets no
 * descriptor but `stdio`. The caller keeps, and closes, its own copies of those.
 *
 * Throws the system's error (ENOENT, EACCES, EAGAIN) when it cannot be started.
 */
export function spawn({ reaper }: { reaper: Reaper }, command: Command): Child {
  const actions = new Uint8Array(objectBytes);
  libc.actionsInit(actions);
  const pid: [number] = [0];
  try {
    command.stdio.forEach((fd, target) => {
      libc.actionsDup2(actions, fd < 0 ? devNull() : fd, target);
    });
    // Descriptors we ourselves were started with may lack close-on-exec (CVE-2024-21626).
    libc.actionsCloseFrom(actions, command.stdio.length);
    if (command.cwd) libc.actionsChdir(actions, command.cwd);
    const env = Object.entries({ ...defaultEnv, ...command.env }).map(([name, value]) => `${name}=${value}`);
    const argv = [command.name ?? command.path, ...command.args, null];
    const errno = libc.posixSpawn(pid, command.path, actions, plainSignals(), argv, [...env, null]);
    if (errno !== 0) throw systemError(errno, "posix_spawn", command.path);
  } finally {
    libc.actionsDestroy(actions);
  }
  return { pid: pid[0], exited: reaper.wait(pid[0]) };
}

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end. A non-zero exit is a result. Of each output at most 1 MiB is kept.
 *
 * `input` (at most 1 MiB) becomes its standard input. Aborting `signal` kills it and throws the reason.
 */
export async function run(
  dependencies: { reaper: Reaper },
  command: Omit<Command, "stdio"> & { input?: string; signal?: AbortSignal | undefined },
): Promise<Result> {
  command.signal?.throwIfAborted();
  await turn();
  command.signal?.throwIfAborted();
  const own: number[] = [];
  const theirs: number[] = [];
  try {
    const stdin = command.input === undefined ? -1 : openInput(command.input);
    theirs.push(stdin);
    const outputs = [openPipe(), openPipe()];
    own.push(...outputs.map(({ read }) => read));
    theirs.push(...outputs.map(({ write }) => write));
    const child = await start(dependencies, { ...command, stdio: theirs }, command.signal);
    closeQuietly(...theirs.splice(0));
    const streams = own.splice(0).map(readable);
    using _kill = onAbort(command.signal, () => {
      killQuietly(child.pid, "SIGKILL");
      for (const stream of streams) stream.destroy(); // a child of its own may hold the other end
    });
    const [stdout = "", stderr = ""] = await Promise.all(streams.map(capture));
    const code = await child.exited;
    command.signal?.throwIfAborted();
    return { code, stdout, stderr };
  } finally {
    closeQuietly(...own, ...theirs);
  }
}

/** run(), and an exit other than 0 is an Error with the program's own words. */
export async function runOrThrow(
  dependencies: { reaper: Reaper },
  command: Parameters<typeof run>[1],
): Promise<string> {
  return outputOf(command, await run(dependencies, command));
}

/** What it has written; an exit other than 0 is an Error with the program's own words. */
export function outputOf({ path, args }: Pick<Command, "path" | "args">, { code, stdout, stderr }: Result): string {
  if (code === 0) return stdout;
  const words = stderr.trim() || stdout.trim() || `exit status ${code}`;
  throw new Error(`${path} ${args.join(" ")}: ${words}`);
}

/** run() for a program that might never end: after `timeoutMs` it is killed, and an Error says so. */
export async function runWithin(
  dependencies: { reaper: Reaper },
  timeoutMs: number,
  command: Omit<Parameters<typeof run>[1], "signal">,
): Promise<Result> {
  const late = AbortSignal.timeout(timeoutMs);
  try {
    return await run(dependencies, { ...command, signal: late });
  } catch (cause) {
    if (!late.aborted) throw cause;
    const words = [command.path, ...command.args].join(" ");
    throw new Error(`${words}: no answer within ${timeoutMs / 1000} s`, { cause });
  }
}

/** Calls `listener` once on abort, be it that has happened; disposing removes it. */
function onAbort(signal: AbortSignal | undefined, listener: () => void): Disposable {
  if (signal?.aborted) listener();
  else signal?.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", listener) };
}

/** Sends a signal; a process that is gone already is no error. */
export function killQuietly(pid: number, signal: NodeJS.Signals | number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function capture(stream: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  let kept = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (kept < maxCaptured) chunks.push(chunk);
      kept += chunk.length;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error; // destroyed on abort
  }
  return Buffer.concat(chunks).toString();
}

/** `input` and then its end, to be read: from a pipe, or from memory where a pipe does not hold it. */
function openInput(input: string): number {
  const bytes = Buffer.from(input);
  if (bytes.length > maxInput) throw new Error(`${bytes.length} bytes of input are too many`);
  if (bytes.length > pipeBytes) return openMemory(bytes);
  const { read, write } = openPipe();
  try {
    writeAll(write, bytes);
    return read;
  } catch (error) {
    closeQuietly(read);
    throw error;
  } finally {
    closeQuietly(write);
  }
}

/** A file of these bytes that is nowhere, open for reading. */
function openMemory(bytes: Uint8Array): number {
  const fd = libc.memfdCreate("input", MFD_CLOEXEC);
  if (fd < 0) throw lastError("memfd_create", "input");
  try {
    writeAll(fd, bytes);
    return openSync(`/proc/self/fd/${fd}`, "r"); // with a position of its own, the beginning
  } finally {
    closeQuietly(fd);
  }
}

/** Writes what is known to fit: never blocks on an empty pipe. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

let signals: Uint8Array | undefined;
function plainSignals(): Uint8Array {
  if (signals) return signals;
  const attributes = new Uint8Array(objectBytes);
  const all = new Uint8Array(objectBytes);
  libc.sigfillset(all);
  libc.attributesInit(attributes);
  libc.attributesDefaults(attributes, all);
  libc.attributesMask(attributes, new Uint8Array(objectBytes));
  libc.attributesFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  signals = attributes;
  return attributes;
}
