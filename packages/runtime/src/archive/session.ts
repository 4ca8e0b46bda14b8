import { constants } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import path from "node:path";
import { O_PATH } from "@hawser/files";
import { type ByteSource, discard, pour, type ServerSession, sinkOf } from "@hawser/streaming";
import { parseArchiveArguments } from "@hawser/tar";
import { closeQuietly, lastError, libc } from "../native/libc.ts";
import { openPipes, type Pipe, readable, streamPipeBytes, writable } from "../native/pipe.ts";
import { isAlive, type ProcessId } from "../native/process-id.ts";
import type { Reaper } from "../native/reaper.ts";
import { type Child, killQuietly, start } from "../native/spawn.ts";
import { pump } from "../oci/pump.ts";
import type { ContainerRecord } from "../store/records.ts";
import type { ArchiveJob } from "./child.ts";

/** Archives that are made or read at once, on one node: each is a process of some 50 MB. */
const maxArchives = 16;
const O_CLOEXEC = 0o2000000;

/** The child's program: beside this file, or beside the bundle that this file is in. */
const program = import.meta.filename.endsWith(".ts")
  ? path.join(import.meta.dirname, "child.ts")
  : path.join(import.meta.dirname, "archive.cjs");

let archives = 0;

/**
 * Answers the archive command of a session, in a process of its own, with the container's root as its process sees it and the
 * rights that process has. Resolves with its exit code: 0, or 2 with words on stderr. Nothing in the container is run.
 *
 * When the client goes, the file that is being written is removed. Rejects with the session's reason then.
 */
export async function runArchiveSession(
  { reaper, graceMs }: { reaper: Reaper; graceMs: number },
  container: Pick<ContainerRecord, "init" | "process">,
  { args, session }: { args: string[]; session: ServerSession },
): Promise<number> {
  const refuse = async (words: string) => {
    await session.stderr?.write(Buffer.from(`archive: ${words}\n`));
    return 2;
  };
  const request = parseArchiveArguments(args);
  if (!request)
    return await refuse("usage: create --offset=N PATH | extract [--no-preserve] DIRECTORY NAME | is-directory PATH");
  if (!(await hasUsersOfTheNode(container.init))) {
    return await refuse("a pod with users of its own (hostUsers: false) needs a tar of its own");
  }
  if (archives >= maxArchives) return await refuse(`${maxArchives} archives are under way already`);
  const { user, cwd, capabilities } = container.process;
  const job: ArchiveJob = {
    request,
    cwd,
    user: {
      uid: user.uid,
      gid: user.gid,
      groups: user.additionalGids ?? [],
      capabilities: capabilities?.effective ?? [],
    },
  };
  archives++;
  try {
    return await runChild({ reaper, graceMs }, { init: container.init, job, session });
  } finally {
    archives--;
  }
}

async function runChild(
  { reaper, graceMs }: { reaper: Reaper; graceMs: number },
  { init, job, session }: { init: ProcessId; job: ArchiveJob; session: ServerSession },
): Promise<number> {
  session.signal.throwIfAborted();
  const root = await openRoot(init);
  let pipes: Pipe[] = [];
  let child: Child;
  try {
    pipes = openPipes(streamPipeBytes, streamPipeBytes, undefined);
    const [stdin, stdout, stderr] = pipes;
    const stdio = [stdin?.read ?? -1, stdout?.write ?? -1, stderr?.write ?? -1, root];
    child = await start(
      { reaper },
      { path: process.execPath, args: [program, JSON.stringify(job)], stdio },
      session.signal,
    );
  } catch (error) {
    for (const { read, write } of pipes) closeQuietly(read, write);
    throw error;
  } finally {
    closeQuietly(root);
  }
  const [stdin, stdout, stderr] = pipes as [Pipe, Pipe, Pipe]; // opened above
  closeQuietly(stdin.read, stdout.write, stderr.write);
  const input = writable(stdin.write);
  const outputs = [readable(stdout.read), readable(stderr.read)] as const;
  input.on("error", () => {}); // the child has ended before its input
  using _end = endOnAbort(session.signal, { pid: child.pid, graceMs, streams: [input, ...outputs] });
  if (session.stdin && job.request.verb === "extract") feed(session.stdin, input);
  else input.destroy();
  const exited = child.exited.finally(() => input.destroy());
  const moved = Promise.allSettled([
    pump({ stream: outputs[0], sink: session.stdout ?? discard, exited, drainMs: graceMs }),
    pump({ stream: outputs[1], sink: session.stderr ?? discard, exited, drainMs: graceMs }),
  ]);
  // Awaited whatever became of its outputs: until then it counts among those under way, and is killed if it does not end.
  const code = await exited;
  const failed = (await moved).find((output) => output.status === "rejected");
  session.signal.throwIfAborted();
  if (failed) throw failed.reason;
  return code;
}

/** The root directory as the container's first process has it, volumes and all. */
async function openRoot(init: ProcessId): Promise<number> {
  const fd = libc.open(`/proc/${init.pid}/root`, O_PATH | constants.O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) throw lastError("open", `/proc/${init.pid}/root`);
  if (await isAlive(init)) return fd; // it was this process' root, and no later one's of the same number
  closeQuietly(fd);
  throw new Error("the container has ended");
}

async function hasUsersOfTheNode({ pid }: ProcessId): Promise<boolean> {
  const own = await readFile("/proc/self/uid_map", "utf8");
  return (await readFile(`/proc/${pid}/uid_map`, "utf8").catch(() => "")) === own;
}

function feed(source: ByteSource, target: Socket): void {
  const move = async () => {
    await pour(source, target);
    await sinkOf(target).close();
  };
  move().catch(() => target.destroy()); // the client is gone, or the child is: it takes its input's end for a cut
}

/** A child whose client is gone sees its streams end, tidies up and ends; one that does not is killed. */
function endOnAbort(
  signal: AbortSignal,
  { pid, graceMs, streams }: { pid: number; graceMs: number; streams: Socket[] },
): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const end = () => {
    for (const stream of streams) stream.destroy();
    timer = setTimeout(() => killQuietly(pid, "SIGKILL"), graceMs);
  };
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  return {
    [Symbol.dispose]() {
      signal.removeEventListener("abort", end);
      clearTimeout(timer);
    },
  };
}
