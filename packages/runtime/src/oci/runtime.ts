import { readSync } from "node:fs";
import path from "node:path";
import type { CgroupDriver } from "../cgroup/parent.ts";
import { exists } from "../exists.ts";
import { closeQuietly, libc } from "../native/libc.ts";
import { openPipe } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { killQuietly } from "../native/spawn.ts";
import { workingOn } from "../native/worker.ts";
import { turn } from "../turns.ts";
import type { View } from "./view.ts";

export type OCIRuntimeName = "crun" | "runc";

/** The low-level runtime that was chosen at start. */
export interface OCIRuntime {
  name: OCIRuntimeName;
  /** Absolute path of the program. */
  path: string;
  version: string;
  /** Where it keeps its own state: its --root. */
  root: string;
  /** Why this one, in words for the status. */
  reason: string;
  /** How long one of its commands may take, milliseconds. */
  timeoutMs: number;
  /** Has it systemd make cgroups? */
  cgroupDriver: CgroupDriver;
  /** How it sees the host. */
  view: View;
  /** Those installed besides: for sandboxes that ask for one by name, and for what an earlier run has made by one. */
  others: OCIRuntime[];
}

/** The runtime a sandbox asks for by its handler: crun or runc; "" is the chosen one. Undefined when it is not installed. */
export function runtimeFor(oci: OCIRuntime, handler: string): OCIRuntime | undefined {
  return handler ? [oci, ...oci.others].find(({ name }) => name === handler) : oci;
}

/** Whose a container is: the runtime that has its state, or the chosen one when none has. */
export async function ownerOf(oci: OCIRuntime, id: string): Promise<OCIRuntime> {
  for (const candidate of oci.others) {
    if (await exists(path.join(candidate.root, id))) return candidate;
  }
  return oci;
}

/** What the OCI runtime itself could not do; `message` is its own line. */
export class OCIError extends Error {
  override readonly name = "OCIError";
  readonly command: string;

  constructor(command: string, message: string) {
    super(message);
    this.command = command;
  }
}

const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
/** What is read of an OCI runtime's log after a failure, bytes. */
const maxLogBytes = 16 * 1024;

/**
 * The log of one call, on a pipe: the only place where the runtime's own failure can be told from
 * what the container's process wrote. Read it after the process has ended.
 */
export class CallLog implements Disposable {
  readonly #read: number;
  #write: number;

  constructor() {
    const { read, write } = openPipe();
    this.#read = read;
    this.#write = write;
    libc.fcntl(read, F_SETFL, O_NONBLOCK);
  }

  /** The end the program gets. */
  get fd(): number {
    return this.#write;
  }

  /** After the spawn: our copy of the program's end goes. */
  started(): void {
    closeQuietly(this.#write);
    this.#write = -1;
  }

  /** The messages so far, without levels and times; empty when it logged nothing. */
  messages(): string[] {
    const buffer = Buffer.alloc(maxLogBytes);
    let length = 0;
    try {
      while (length < buffer.length) {
        const count = readSync(this.#read, buffer, length, buffer.length - length, null);
        if (count === 0) break;
        length += count;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    return buffer.toString("utf8", 0, length).split("\n").flatMap(messageOf);
  }

  [Symbol.dispose](): void {
    closeQuietly(this.#read, this.#write);
    this.#write = -1;
  }
}

/** A line of `--log-format json`; a line that is none is a message itself. */
function messageOf(line: string): string[] {
  if (!line) return [];
  try {
    const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
    return msg && level !== "warning" && level !== "debug" && level !== "info" ? [msg] : [];
  } catch {
    return [line];
  }
}

/** The arguments before the command: root, cgroup driver, and the log on descriptor `logFd`. */
export function globalArgs(runtime: OCIRuntime, logFd: number): string[] {
  return [...placeArgs(runtime), "--log", `/proc/self/fd/${logFd}`, "--log-format", "json"];
}

/** Those of them that say where everything is. */
export function placeArgs({ root, cgroupDriver }: OCIRuntime): string[] {
  return [`--root=${root}`, ...(cgroupDriver === "systemd" ? ["--systemd-cgroup"] : [])];
}

/**
 * Runs one command of the OCI runtime to its end, of the one whose the container is (its id is the last argument), with
 * /dev/null for stdio, since a container may inherit it. Throws OCIError with the runtime's own message when it fails; it is
 * killed when it takes too long.
 */
export async function call(
  { reaper, oci: chosen }: { reaper: Reaper; oci: OCIRuntime },
  command: string,
  args: string[],
): Promise<void> {
  const id = args.at(-1) ?? "";
  const oci = command === "run" ? chosen : await ownerOf(chosen, id);
  await turn();
  using log = new CallLog();
  const full = {
    path: oci.path,
    args: [...globalArgs(oci, 3), command, ...args],
    stdio: [-1, -1, -1, log.fd],
    env: workingOn(id),
  };
  const mounts = command === "run" ? "now" : "lasting";
  const signal = AbortSignal.timeout(oci.timeoutMs);
  const child = await oci.view.start({ reaper }, full, { mounts, signal }).catch((error: unknown) => {
    throw signal.aborted ? tooLate(oci, command) : error;
  });
  log.started();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    killQuietly(child.pid, "SIGKILL");
  }, oci.timeoutMs);
  const code = await child.exited;
  clearTimeout(timer); // the number may be another process' by then
  if (code === 0) return;
  if (late) throw tooLate(oci, command);
  throw new OCIError(command, log.messages().join("; ") || `${oci.name} ${command}: exit status ${code}`);
}

/** What is said of a command that was killed for taking too long. */
export function tooLate({ name, timeoutMs }: OCIRuntime, command: string): OCIError {
  return new OCIError(command, `${name} ${command}: no answer within ${timeoutMs / 1000} s`);
}

/** A created container waits at a fifo; the start removes it. True for both OCI runtimes. */
export async function isWaiting(oci: OCIRuntime, id: string): Promise<boolean> {
  return await exists(path.join((await ownerOf(oci, id)).root, id, "exec.fifo"));
}
