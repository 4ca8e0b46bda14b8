import { readFile, unlink } from "node:fs/promises";
import type { ExecGroup } from "../cgroup/exec-groups.ts";
import { closeQuietly } from "../native/libc.ts";
import { openPipes, type Pipe, streamPipeBytes, writable } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { pipeBytes, spawn, writeAll } from "../native/spawn.ts";
import { CallLog, globalArgs, OCIError, type OCIRuntime } from "./runtime.ts";
import type { Process } from "./types.ts";

export interface ExecProcessOptions {
  containerId: string;
  process: Process;
  group: ExecGroup;
  /** Which streams are to be piped; the others are /dev/null. */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** With a terminal: the socket its master is sent to. */
  consoleSocket?: string | undefined;
  /** A file that runc may write the command's pid to. */
  pidFile: string;
  /** Bytes the output pipes should hold. */
  outputBytes?: number;
  /** Resolves with what is known at last (a terminal's size) before the process file is handed over. */
  finishProcess?: (process: Process) => Promise<Process>;
}

/** A command on its way in a container. The descriptors are ours to close. */
export interface ExecProcess {
  /** The OCI runtime's own process, which waits for the command and ends with its exit code. */
  pid: number;
  stdin?: number | undefined;
  stdout?: number | undefined;
  stderr?: number | undefined;
  /** How it ended. Rejects with OCIError when the command could not even be tried. */
  exited: Promise<ExecExit>;
}

export interface ExecExit {
  code: number;
  /** The OCI runtime's words when the command was not found (127) or could not be executed (126). */
  failure?: string;
}

/** What both OCI runtimes exit with when they, not the command, failed. */
const runtimeFailed = new Set([1, 255]);

/**
 * Starts a command in a running container: `crun --root ROOT exec --process FILE ID`.
 *
 * FILE is a pipe. The OCI runtime loads, checks the container and then waits for it, while its process is moved
 * into the exec's own cgroup: whatever the command starts is in there from its first moment.
 */
export async function startExecProcess(
  { reaper, oci }: { reaper: Reaper; oci: OCIRuntime },
  options: ExecProcessOptions,
): Promise<ExecProcess> {
  const { group, outputBytes } = options;
  const log = new CallLog();
  const pipes: { [name: string]: Pipe | undefined } = {};
  try {
    [pipes.file] = openPipes(undefined);
    if (options.stdin) [pipes.stdin] = openPipes(streamPipeBytes);
    if (options.stdout) [pipes.stdout] = openPipes(outputBytes);
    if (options.stderr) [pipes.stderr] = openPipes(outputBytes);
    const { file, stdin, stdout, stderr } = pipes;
    if (!file) throw new Error("unreachable: the pipe is open");
    // An attached runc hands no terminal over, and copies output until its last holder, a background child, closes it.
    // A detached one leaves us the command as our own child.
    const detached = oci.name === "runc";
    const args = [
      ...globalArgs(oci, 4),
      ...["exec", "--process", "/proc/self/fd/3", ...group.args],
      ...(options.consoleSocket ? ["--console-socket", options.consoleSocket] : []),
      ...(detached ? ["--detach", "--pid-file", options.pidFile] : []),
      options.containerId,
    ];
    const stdio = [stdin?.read ?? -1, stdout?.write ?? -1, stderr?.write ?? -1, file.read, log.fd];
    const child = oci.view.within(() => spawn({ reaper }, { path: oci.path, args, stdio }));
    log.started();
    closeQuietly(stdin?.read, stdout?.write, stderr?.write, file.read);
    const exited = child.exited.then(async (code) => {
      const end = outcome(code, log);
      return detached && code === 0 ? { code: await reaper.wait(await pidIn(options.pidFile)) } : end;
    });
    exited.catch(() => undefined).finally(() => log[Symbol.dispose]()); // the caller has the rejection
    try {
      const [process] = await Promise.all([
        options.finishProcess ? options.finishProcess(options.process) : options.process,
        group.join(child.pid).catch(ignoreGone),
      ]);
      handOver(file.write, JSON.stringify(process));
    } catch (error) {
      closeQuietly(file.write, stdin?.write, stdout?.read, stderr?.read); // without its file the OCI runtime gives up
      throw error;
    }
    return { pid: child.pid, stdin: stdin?.write, stdout: stdout?.read, stderr: stderr?.read, exited };
  } catch (error) {
    if (!pipes.file) log[Symbol.dispose]();
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
  const failure = messages.join("; ");
  if (/not found|no such file or directory/i.test(failure) && /executable|exec|stat /i.test(failure)) {
    return { code: 127, failure };
  }
  if (
    /permission denied|operation not permitted|exec format error|is a directory/i.test(failure) &&
    /exec|open executable/i.test(failure)
  ) {
    return { code: 126, failure };
  }
  throw new OCIError("exec", failure);
}

/** ESRCH: the OCI runtime has ended already, and its exit tells why. */
function ignoreGone(error: NodeJS.ErrnoException): void {
  if (error.code !== "ESRCH") throw error;
}
