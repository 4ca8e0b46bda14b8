import { open, readFile, unlink } from "node:fs/promises";
import path from "node:path";
import { closeQuietly } from "../native/libc.ts";
import { devNull } from "../native/null-device.ts";
import { openPipe, readable } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { killQuietly, start } from "../native/spawn.ts";
import { workingOn } from "../native/worker.ts";
import { turn } from "../turns.ts";
import type { ExecProgram } from "./exec-program.ts";
import { OCIError, type OCIRuntime, placeArgs, tooLate } from "./runtime.ts";
import type { View } from "./view.ts";

/** What conmon may say on its sync pipe, bytes: one line of JSON with the OCI runtime's error. */
const maxAnswerBytes = 64 * 1024;

export interface ConmonOptions {
  /** The conmon program. */
  conmonPath: string;
  id: string;
  /** The bundle: config.json, and conmon's own fifos and files. */
  bundle: string;
  /** A CRI log file; undefined for none. */
  logPath?: string | undefined;
  /** One file per ended container, named by its id, holding the exit code. */
  exitDir: string;
  /** Short: `<socketDir>/<id>/attach` must fit into 107 bytes. */
  socketDir: string;
  stdin: boolean;
  stdinOnce: boolean;
  terminal: boolean;
  /** Whom the container's pipes are to belong to, so that its own root can open them anew; root's own otherwise. */
  stdioOwner?: { uid: number; gid: number } | undefined;
}

export interface Conmon {
  conmonPid: number;
  /** The container's first process. */
  pid: number;
  /** When conmon itself has ended; only its parent can tell. */
  exited: Promise<number>;
}

/**
 * Creates a container under a conmon of its own, which outlives us: it logs, keeps stdin and the terminal,
 * and leaves the exit code. Throws OCIError with the OCI runtime's words when the container cannot be created; the caller
 * then ends what still works on it.
 *
 * Source: containers/conmon docs/conmon.8.md, src/conmon.c
 */
export async function createUnderConmon(
  { reaper, oci, execProgram }: { reaper: Reaper; oci: OCIRuntime; execProgram: ExecProgram },
  options: ConmonOptions,
): Promise<Conmon> {
  const { id, bundle } = options;
  await turn();
  using before = beforeRuntime(oci.view, { program: execProgram.path, owner: options.stdioOwner });
  // `-r` and `--runtime-arg` make the beginning of the command line that conmon runs.
  const [runtimePath = oci.path, ...prefix] = [...before.words, oci.path];
  const late = AbortSignal.timeout(oci.timeoutMs);
  const sync = openPipe();
  let child: { pid: number; exited: Promise<number> };
  try {
    child = await start(
      { reaper },
      {
        path: options.conmonPath,
        args: [
          "--sync", // stays our child, one fork less
          "--api-version=1",
          "--no-sync-log",
          ...["-c", id, "-n", id, "-u", id, "-r", runtimePath, "-b", bundle],
          ...["-p", path.join(bundle, "pid"), "-l", options.logPath ? `k8s-file:${options.logPath}` : "none"],
          // No --persist-dir: it would write the exit code there first, and give up when that disk is full.
          ...["--exit-dir", options.exitDir, "--socket-dir-path", options.socketDir],
          ...[...prefix, ...placeArgs(oci)].map((argument) => `--runtime-arg=${argument}`),
          ...(options.terminal ? ["-t"] : []),
          ...(options.stdin ? ["-i"] : []),
          ...(options.stdin && !options.stdinOnce ? ["--leave-stdin-open"] : []),
        ],
        env: { _OCI_SYNCPIPE: "3", ...workingOn(id) },
        cwd: bundle, // where the kernel's OOM killer strikes, conmon leaves a file `oom` in its folder
        stdio: [-1, -1, -1, sync.write],
      },
      late,
    );
  } catch (error) {
    closeQuietly(sync.read);
    throw late.aborted ? tooLate(oci, "create") : error;
  } finally {
    closeQuietly(sync.write);
  }
  const answer = await firstLine(sync.read, { afterMs: oci.timeoutMs, error: tooLate(oci, "create") });
  if (answer === undefined) {
    killQuietly(child.pid, "SIGKILL");
    throw new Error(`conmon ended without an answer: exit status ${await child.exited}`);
  }
  const { data: pid, message } = answer;
  if (pid > 0) return { conmonPid: child.pid, pid, exited: child.exited };
  await child.exited;
  throw new OCIError("create", cleaned(message ?? "conmon gave no reason"));
}

/**
 * What goes before the OCI runtime's command line that conmon runs. A standard descriptor that is a device, which is conmon's own
 * /dev/null, is replaced by one that changes nothing on the node: a container's root could chmod it, and crun gives it to the
 * root of a user namespace. Pipes get their owner, if there is one. And it is in the view. To be disposed when the runtime has
 * started.
 */
function beforeRuntime(
  view: View,
  { program, owner }: { program: string | undefined; owner: ConmonOptions["stdioOwner"] },
): { words: string[] } & Disposable {
  const device = `/proc/${process.pid}/fd/${devNull()}`;
  if (program) {
    const words = [
      program,
      "create",
      device,
      owner ? `${owner.uid}:${owner.gid}` : "-",
      view.hybrid ? "hybrid" : "host",
    ];
    return { words, [Symbol.dispose]() {} };
  }
  const snapshot = view.snapshot();
  const give = owner ? `chown ${owner.uid}:${owner.gid} /dev/fd/$n` : ":";
  const script = `for n in 0 1 2; do
    if [ -p /dev/fd/$n ]; then ${give}
    elif [ -c /dev/fd/$n ]; then eval "exec $n<>${device}"; fi
  done
  exec "$@"`;
  const words = ["/bin/sh", "-c", script, "sh", ...snapshot.prefix];
  return { words, [Symbol.dispose]: () => snapshot[Symbol.dispose]() };
}

interface SyncAnswer {
  /** The container's first process; negative when there is none. */
  data: number;
  message?: string;
}

/** Undefined at the end without a whole line; throws `limit.error` when none comes in time. */
async function firstLine(fd: number, limit: { afterMs: number; error: Error }): Promise<SyncAnswer | undefined> {
  let text = "";
  const stream = readable(fd);
  const timer = setTimeout(() => stream.destroy(limit.error), limit.afterMs);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0) return JSON.parse(text.slice(0, end)) as SyncAnswer;
      if (text.length > maxAnswerBytes) break;
    }
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** The runtime's error as one line, without crun's timestamps. */
function cleaned(message: string): string {
  return message
    .split("\n")
    .map((line) => line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z: /, "").trim())
    .filter(Boolean)
    .join("; ");
}

/** The exit code conmon has left for a container; undefined while it runs, and when the file holds anything else. */
export async function readExit(exitDir: string, id: string): Promise<{ exitCode: number; at: bigint } | undefined> {
  try {
    await using file = await open(path.join(exitDir, id), "r");
    const { mtimeNs } = await file.stat({ bigint: true });
    const text = await file.readFile("utf8");
    return /^-?\d{1,3}\n?$/.test(text) ? { exitCode: Number(text.trim()), at: mtimeNs } : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Did the kernel's OOM killer end it? conmon leaves a file that says so. */
export async function wasOOMKilled(bundle: string): Promise<boolean> {
  return await readFile(path.join(bundle, "oom")).then(
    () => true,
    () => false,
  );
}

/** Takes away what conmon leaves outside of the bundle. */
export async function removeConmonFiles({ exitDir, socketDir }: { exitDir: string; socketDir: string }, id: string) {
  for (const file of [path.join(exitDir, id), path.join(socketDir, id)]) {
    await unlink(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }
}
