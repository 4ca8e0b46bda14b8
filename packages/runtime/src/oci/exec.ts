// Step 8 of 8. Before: cri/src/streaming/server.ts. After: the kernel.
import type { Socket } from "node:net";
import { type ByteSink, type ByteSource, discard, pour, sinkOf, type TerminalSize } from "@hawser/streaming";
import type { ExecGroup, ExecGroups } from "../cgroup/exec-groups.ts";
import { readable, streamPipeBytes, writable } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { orAborted } from "../or-aborted.ts";
import type { ContainerRecord } from "../store/records.ts";
import { turn } from "../turns.ts";
import { setTerminalSize, terminalStream } from "./console.ts";
import { startByHelper } from "./exec-by-helper.ts";
import { startByRuntime } from "./exec-by-runtime.ts";
import { LostExecError } from "./exec-control.ts";
import { endOnAbort } from "./exec-ender.ts";
import type { ExecHelper } from "./exec-helper.ts";
import type { ExecExit, ExecProcess, ExecProcessOptions } from "./exec-process.ts";
import { pump } from "./pump.ts";
import type { OCIRuntime } from "./runtime.ts";
import type { Process } from "./types.ts";

/** How long a terminal's command waits for the client's first size, milliseconds. */
const firstSizePatience = 100;

export interface ExecDependencies {
  reaper: Reaper;
  oci: OCIRuntime;
  helper: ExecHelper;
  groups: ExecGroups;
  /** Short directory for console sockets. */
  socketDir: string;
  /** Between SIGHUP and SIGKILL when the client is gone, milliseconds. */
  graceMs: number;
  /** How long output may stay open, and silent, after the command has ended, milliseconds. */
  drainMs: number;
}

export interface ExecOptions {
  container: Pick<ContainerRecord, "id" | "init" | "process" | "cgroupPath" | "stdioOwner">;
  command: string[];
  tty: boolean;
  stdin?: ByteSource | undefined;
  stdout?: ByteSink | undefined;
  stderr?: ByteSink | undefined;
  resize?: AsyncIterable<TerminalSize> | undefined;
  /** Fires when the client is gone or its time is up. */
  signal: AbortSignal;
  /** Instead of the configured grace. */
  graceMs?: number;
}

/**
 * Runs one command in a running container. Resolves with its exit code once the last byte of output was taken: 127 when there
 * is no such command, 126 when it cannot be executed, 128 + n after signal n; the OCI runtime's words are then on stderr.
 *
 * When `signal` fires, the command loses its stdin, gets SIGHUP, and SIGKILL after the grace, it and all it has started;
 * the promise then rejects with the signal's reason. Rejects with OCIError when the container cannot run commands.
 */
export async function execInContainer(dependencies: ExecDependencies, options: ExecOptions): Promise<number> {
  await turn();
  options.signal.throwIfAborted();
  const { container, tty } = options;
  const group = dependencies.groups.open(container.id, container.cgroupPath);
  try {
    return tty ? await execOnTerminal(dependencies, options, group) : await execOnPipes(dependencies, options, group);
  } finally {
    group.remove().catch(() => undefined); // what is still running keeps it; it goes with the container
  }
}

async function execOnPipes(dependencies: ExecDependencies, options: ExecOptions, group: ExecGroup): Promise<number> {
  const { container, stdin, stdout, stderr, signal } = options;
  const started = await start(dependencies, options, {
    container,
    process: processOf(options),
    group,
    stdin: stdin !== undefined,
    stdout: stdout !== undefined,
    stderr: stderr !== undefined,
    outputBytes: streamPipeBytes,
    signal,
  });
  const input = started.stdin === undefined ? undefined : writable(started.stdin);
  using ender = endOnAbort({ signal, group, started, graceMs: options.graceMs ?? dependencies.graceMs, input });
  if (stdin && input) feed(stdin, input);
  const exited = started.exited.finally(() => input?.destroy());
  const pumped = [
    pumpFrom(started.stdout, stdout, exited, dependencies.drainMs),
    pumpFrom(started.stderr, stderr, exited, dependencies.drainMs),
  ];
  exited.catch(() => undefined); // it is waited for when the last words are out
  await Promise.all(pumped.map((output) => ender.guard(output)));
  const end = await endOf(exited, signal);
  await ender.ended();
  signal.throwIfAborted();
  return end.code;
}

async function execOnTerminal(dependencies: ExecDependencies, options: ExecOptions, group: ExecGroup): Promise<number> {
  const { container, stdin, stdout = discard, signal } = options;
  const sizes = options.resize?.[Symbol.asyncIterator]();
  let pending = sizes?.next();
  const started = await start(dependencies, options, {
    container,
    process: processOf(options),
    group,
    stdin: false,
    stdout: false,
    stderr: false,
    signal,
    async finishProcess(process) {
      const first = await within(pending, firstSizePatience);
      if (!first?.value) return process;
      pending = sizes?.next();
      return { ...process, consoleSize: first.value };
    },
  });
  const { exited } = started;
  using ender = endOnAbort({ signal, group, started, graceMs: options.graceMs ?? dependencies.graceMs });
  const master = await ender.guard(Promise.resolve(started.master?.()));
  if (master === undefined) {
    const { code, failure } = await exited;
    if (failure) await ender.guard(stdout.write(Buffer.from(`${failure}\r\n`)));
    await ender.ended();
    signal.throwIfAborted();
    return code;
  }
  const terminal = terminalStream(master);
  endWhenLost(terminal, exited);
  try {
    const follow = async () => {
      for (let next = await pending; next && !next.done && !terminal.destroyed; next = await sizes?.next()) {
        setTerminalSize(master, next.value);
      }
    };
    follow().catch(() => undefined); // the session's end, or a size the kernel does not take
    if (stdin) feed(stdin, terminal, { close: false }); // a terminal has no half-close
    const output = pump({ stream: terminal, sink: stdout, exited, drainMs: dependencies.drainMs });
    const [end] = await Promise.all([endOf(exited, signal), ender.guard(output)]);
    if (end.failure) await ender.guard(stdout.write(Buffer.from(`${end.failure}\r\n`)));
    await ender.ended();
    signal.throwIfAborted();
    return end.code;
  } finally {
    terminal.destroy();
    sizes?.return?.().catch(() => undefined); // nobody reads sizes any more
  }
}

/** By our own helper where it knows the way, else by the OCI runtime. */
async function start(
  dependencies: ExecDependencies,
  { container, signal }: ExecOptions,
  given: ExecProcessOptions,
): Promise<ExecProcess> {
  const how = finishedOnce(given);
  const place = await orAborted(dependencies.helper.placeOf(container), signal);
  const started = place && (await startByHelper(dependencies, how, place));
  if (started) return started;
  signal.throwIfAborted(); // what nobody waits for any more is not begun by another way
  return await startByRuntime(dependencies, how);
}

/** A client tells its terminal's size once, whichever way, and attempt, it is that begins the command. */
function finishedOnce(how: ExecProcessOptions): ExecProcessOptions {
  const { finishProcess } = how;
  if (!finishProcess) return how;
  let finished: Promise<Process> | undefined;
  return {
    ...how,
    finishProcess(process) {
      finished ??= finishProcess(process);
      return finished;
    },
  };
}

/** What the container's own process has, with another command. */
function processOf({ container, command, tty }: ExecOptions): Process {
  const { process } = container;
  const { capabilities, consoleSize: _, oomScoreAdj: __, ...rest } = process;
  return {
    ...rest,
    terminal: tty,
    args: command,
    env: tty && !process.env.some((entry) => entry.startsWith("TERM=")) ? [...process.env, "TERM=xterm"] : process.env,
    ...(capabilities && { capabilities }),
  };
}

function pumpFrom(fd: number | undefined, sink: ByteSink | undefined, exited: Promise<unknown>, drainMs: number) {
  if (fd === undefined) return Promise.resolve();
  const stream = readable(fd);
  endWhenLost(stream, exited);
  return pump({ stream, sink: sink ?? discard, exited, drainMs });
}

/** How the command has ended; for one that was ended for its client, why, also where nobody can tell how. */
async function endOf(exited: Promise<ExecExit>, signal: AbortSignal): Promise<ExecExit> {
  try {
    return await exited;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** When nobody can tell of the command any more, nobody waits for what it might still say. */
function endWhenLost(stream: Socket, exited: Promise<unknown>): void {
  exited.catch((error: unknown) => {
    if (error instanceof LostExecError) stream.destroy();
  });
}

/**
 * Moves a client's input into the command, in the background: a command may leave its input unread, and ends the exec
 * when it ends. When it has closed its stdin, the rest of the input is dropped, so that the client is not held up.
 */
function feed(source: ByteSource, target: Socket, { close } = { close: true }): void {
  const move = async () => {
    await pour(source, target);
    if (close && !target.destroyed) await sinkOf(target).close();
  };
  move().catch(() => target.destroySoon()); // the client is gone (endOnAbort does the rest), or the command is
}

/** The promise's value if it comes in time; what has come while this process was kept from looking is in time. */
function within<T>(promise: Promise<T> | undefined, milliseconds: number): Promise<T | undefined> {
  if (!promise) return Promise.resolve(undefined);
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => setImmediate(() => setImmediate(() => resolve(undefined))), milliseconds);
  return Promise.race([promise.catch(() => undefined), late]).finally(() => clearTimeout(timer));
}
