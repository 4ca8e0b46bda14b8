import { write } from "node:fs";
import { promisify } from "node:util";
import { closeQuietly } from "../native/libc.ts";
import { openPipes, type Pipe, streamPipeBytes } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { openSocketPair, receiveNow } from "../native/socket.ts";
import { pipeBytes, spawn, writeAll } from "../native/spawn.ts";
import type { ExecHelper } from "./exec-helper.ts";
import { type ExecExit, type ExecProcess, type ExecProcessOptions, whyNotRun } from "./exec-process.ts";
import { encodeRequest, type Place } from "./exec-request.ts";

const writeSlowly = promisify(write);
/** How often the control socket is looked at for a terminal, milliseconds. */
const lookInterval = 1;

/** Starts a command in a running container by hawser-exec. */
export async function startByHelper(
  dependencies: { reaper: Reaper; helper: ExecHelper },
  options: ExecProcessOptions,
  place: Place,
): Promise<ExecProcess> {
  const { helper } = dependencies;
  const { container } = options;
  const { pid, exited, control, stdin, stdout, stderr } = spawnHelper(dependencies, options);
  try {
    const process = options.finishProcess ? await options.finishProcess(options.process) : options.process;
    const { oomScoreAdj } = container.process;
    const request = encodeRequest({
      ...place,
      containerId: container.id,
      init: container.init,
      group: options.group.directory,
      process: { ...process, ...(oomScoreAdj !== undefined && { oomScoreAdj: helper.clampOOMScore(oomScoreAdj) }) },
    });
    await control.ask(request);
  } catch (error) {
    control[Symbol.dispose](); // without a request the helper ends
    closeQuietly(stdin, stdout, stderr);
    throw error;
  }
  const master = options.process.terminal ? () => control.master(exited) : undefined;
  return { pid, stdin, stdout, stderr, exited, master };
}

/** The helper's process, waiting for its request, and our ends of all that joins us. */
function spawnHelper(
  { reaper, helper }: { reaper: Reaper; helper: ExecHelper },
  { container, outputBytes, ...wanted }: ExecProcessOptions,
) {
  if (helper.program === undefined) throw new Error("unreachable: the helper is there");
  const theirs: (number | undefined)[] = [];
  const ours: (number | undefined)[] = [];
  try {
    const pipe = (bytes: number | undefined): Pipe | undefined => openPipes(bytes)[0];
    const stdin = wanted.stdin ? pipe(streamPipeBytes) : undefined;
    theirs.push(stdin?.read);
    ours.push(stdin?.write);
    const stdout = wanted.stdout ? pipe(outputBytes) : undefined;
    theirs.push(stdout?.write);
    ours.push(stdout?.read);
    const stderr = wanted.stderr ? pipe(outputBytes) : undefined;
    theirs.push(stderr?.write);
    ours.push(stderr?.read);
    const socket = openSocketPair();
    theirs.push(socket.theirs);
    ours.push(socket.ours);
    const stdio = theirs.map((fd) => fd ?? -1);
    const child = spawn({ reaper }, { path: helper.program, args: [container.id], stdio });
    const control = new Control(socket.ours);
    const exited = child.exited.then((code): ExecExit => {
      const failure = control.end();
      return failure === undefined ? { code } : whyNotRun(failure);
    });
    exited.catch(() => undefined); // the caller has the rejection
    return { pid: child.pid, exited, control, stdin: stdin?.write, stdout: stdout?.read, stderr: stderr?.read };
  } catch (error) {
    closeQuietly(...ours);
    throw error;
  } finally {
    closeQuietly(...theirs);
  }
}

/** Our end of the helper's socket: the request goes there; a terminal, or why there is no command, comes back. */
class Control implements Disposable {
  #fd: number | undefined;
  #words = "";
  #terminal: number | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** A large request goes as it is read. That nobody reads it any more is told by the helper's exit. */
  async ask(request: Buffer): Promise<void> {
    try {
      if (request.length <= pipeBytes && this.#fd !== undefined) return writeAll(this.#fd, request);
      for (let done = 0; done < request.length && this.#fd !== undefined; ) {
        done += (await writeSlowly(this.#fd, request, done)).bytesWritten;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
    }
  }

  /** The terminal's master, the caller's to close; undefined when the helper has ended without making one. */
  async master(exited: Promise<unknown>): Promise<number | undefined> {
    let over = false;
    const end = () => {
      over = true;
    };
    exited.then(end, end);
    while (this.#receive() && this.#terminal === undefined && !over) {
      await new Promise((resolve) => setTimeout(resolve, lookInterval));
    }
    // A short command may have ended before we looked; its helper's end has received for us then.
    if (this.#terminal === undefined) await exited.catch(() => undefined); // the rejection is the caller's as well
    const terminal = this.#terminal;
    this.#terminal = undefined;
    return terminal;
  }

  /** The helper has ended: why there was no command, if there was none. */
  end(): string | undefined {
    this.#receive();
    closeQuietly(this.#fd);
    this.#fd = undefined;
    const at = this.#words.indexOf("F");
    return at < 0 ? undefined : this.#words.slice(at + 1);
  }

  /** Nobody will ask for the terminal. Without a request the helper ends. */
  [Symbol.dispose](): void {
    closeQuietly(this.#fd, this.#terminal);
    this.#fd = undefined;
    this.#terminal = undefined;
  }

  /** Takes what has come. False when nothing more will. */
  #receive(): boolean {
    while (this.#fd !== undefined) {
      const message = receiveNow(this.#fd);
      if (!message) return true;
      if (message.fd !== undefined) this.#terminal = message.fd;
      if (message.data.length === 0) return false;
      this.#words += message.data.toString();
    }
    return false;
  }
}
