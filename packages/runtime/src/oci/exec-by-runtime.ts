import { fchownSync } from "node:fs";
import { readFile, unlink } from "node:fs/promises";
import path from "node:path";
import { closeQuietly } from "../native/libc.ts";
import { openPipes, type Pipe, streamPipeBytes, writable } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { type Child, pipeBytes, writeAll } from "../native/spawn.ts";
import { workingOn } from "../native/worker.ts";
import { type ConsoleSocket, openConsoleSocket } from "./console.ts";
import { type ExecExit, type ExecProcess, type ExecProcessOptions, whyNotRun } from "./exec-process.ts";
import { CallLog, globalArgs, type OCIRuntime, ownerOf } from "./runtime.ts";
import type { Process } from "./types.ts";

/** What both OCI runtimes exit with when they, not the command, failed. */
const runtimeFailed = new Set([1, 255]);

let serial = 0;

/**
 * Starts a command in a running container: `crun --root ROOT exec --process FILE ID`.
 *
 * FILE is a pipe. The OCI runtime loads, checks the container and then waits for it, while its process is moved
 * into the exec's own cgroup: whatever the command starts is in there from its first moment.
 */
export async function startByRuntime(
  dependencies: { reaper: Reaper; oci: OCIRuntime; socketDir: string },
  options: ExecProcessOptions,
): Promise<ExecProcess> {
  const { socketDir } = dependencies;
  if (!options.process.terminal) return await start(dependencies, options, undefined);
  const socket = await openConsoleSocket(socketDir);
  try {
    const started = await start(dependencies, options, socket.path);
    const closed = started.exited.then(
      () => socket[Symbol.asyncDispose](),
      () => socket[Symbol.asyncDispose](),
    );
    closed.catch(() => undefined); // a listener that cannot be closed is gone with the folder
    return { ...started, master: () => masterOrNothing(socket, started.exited) };
  } catch (error) {
    await socket[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(
  { reaper, oci: chosen, socketDir }: { reaper: Reaper; oci: OCIRuntime; socketDir: string },
  options: ExecProcessOptions,
  consoleSocket: string | undefined,
): Promise<ExecProcess> {
  const { group, outputBytes } = options;
  const [oci] = await Promise.all([ownerOf(chosen, options.container.id), group.make()]);
  // An attached runc hands no terminal over, and copies output until its last holder, a background child, closes it.
  // A detached one leaves us the command as our own child.
  const detached = oci.name === "runc";
  const pidFile = path.join(socketDir, `exec-${++serial}.pid`);
  const log = new CallLog();
  const pipes: { [name: string]: Pipe | undefined } = {};
  let child: Child;
  try {
    [pipes.file] = openPipes(undefined);
    if (options.stdin) [pipes.stdin] = openPipes(streamPipeBytes);
    if (options.stdout) [pipes.stdout] = openPipes(outputBytes);
    if (options.stderr) [pipes.stderr] = openPipes(outputBytes);
    const { stdioOwner: owner } = options.container;
    for (const pipe of [pipes.stdin, pipes.stdout, pipes.stderr]) {
      if (pipe && owner) fchownSync(pipe.read, owner.uid, owner.gid);
    }
    const args = [
      ...globalArgs(oci, 4),
      ...["exec", "--process", "/proc/self/fd/3", ...group.args],
      ...(consoleSocket ? ["--console-socket", consoleSocket] : []),
      ...(detached ? ["--detach", "--pid-file", pidFile] : []),
      options.container.id,
    ];
    const { file, stdin, stdout, stderr } = pipes;
    const stdio = [stdin?.read ?? -1, stdout?.write ?? -1, stderr?.write ?? -1, file?.read ?? -1, log.fd];
    const command = { path: oci.path, args, stdio, env: workingOn(options.container.id) };
    child = await oci.view.start({ reaper }, command, { mounts: "lasting", signal: options.signal });
  } catch (error) {
    for (const pipe of Object.values(pipes)) closeQuietly(pipe?.read, pipe?.write);
    log[Symbol.dispose]();
    throw error;
  }
  log.started();
  let runtimePid: number | undefined = child.pid;
  const { file, stdin, stdout, stderr } = pipes;
  closeQuietly(stdin?.read, stdout?.write, stderr?.write, file?.read);
  const exited = child.exited.then(async (code) => {
    runtimePid = undefined; // a detached one ends before its command, and its number may be another process' then
    const end = outcome(code, log);
    return detached && code === 0 ? { code: await reaper.wait(await pidIn(pidFile)) } : end;
  });
  exited.catch(() => undefined).finally(() => log[Symbol.dispose]()); // the caller has the rejection
  let process: Process;
  try {
    [process] = await Promise.all([
      options.finishProcess ? options.finishProcess(options.process) : options.process,
      group.join(child.pid).catch(ignoreGone),
    ]);
  } catch (error) {
    closeQuietly(file?.write, stdin?.write, stdout?.read, stderr?.read); // without its file the OCI runtime gives up
    throw error;
  }
  if (file) handOver(file.write, JSON.stringify(process));
  return {
    runtimePid: () => runtimePid,
    stdin: stdin?.write,
    stdout: stdout?.read,
    stderr: stderr?.read,
    exited,
  };
}

/** The master, or undefined when the command has ended without one; a short command may end before its master comes. */
async function masterOrNothing(socket: ConsoleSocket, exited: Promise<unknown>): Promise<number | undefined> {
  const giveUp = new AbortController();
  const late = exited.then(
    () => setTimeout(() => giveUp.abort(new Error("no terminal")), 50),
    () => giveUp.abort(new Error("no terminal")),
  );
  try {
    return await socket.master(giveUp.signal);
  } catch (error) {
    if (giveUp.signal.aborted) return undefined;
    await Promise.race([exited, late]);
    if (giveUp.signal.aborted) return undefined;
    throw error;
  }
}

async function pidIn(file: string): Promise<number> {
  const pid = Number.parseInt(await readFile(file, "utf8"), 10);
  await unlink(file);
  return pid;
}

/** Gives the process file to the OCI runtime; a large one as it is read. */
function handOver(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  if (bytes.length <= pipeBytes) {
    try {
      writeAll(fd, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error; // its exit tells why
    } finally {
      closeQuietly(fd);
    }
    return;
  }
  const stream = writable(fd);
  stream.on("error", () => undefined); // the OCI runtime has gone; its exit tells why
  stream.end(bytes);
}

function outcome(code: number, log: CallLog): ExecExit {
  if (!runtimeFailed.has(code)) return { code };
  const messages = log.messages();
  if (messages.length === 0) return { code };
  return whyNotRun(messages.join("; "));
}

/** ESRCH: the OCI runtime has ended already, and its exit tells why. */
function ignoreGone(error: NodeJS.ErrnoException): void {
  if (error.code !== "ESRCH") throw error;
}
