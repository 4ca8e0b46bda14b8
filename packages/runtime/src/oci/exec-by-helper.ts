import { closeQuietly } from "../native/libc.ts";
import { devNull } from "../native/null-device.ts";
import { openPipe, streamPipeBytes } from "../native/pipe.ts";
import { openSocketPair } from "../native/socket.ts";
import { openToken, type Token } from "../native/token.ts";
import { orAborted } from "../or-aborted.ts";
import { turn } from "../turns.ts";
import { ExecControl, LostExecError } from "./exec-control.ts";
import type { ExecHelper } from "./exec-helper.ts";
import type { Porter } from "./exec-porter.ts";
import type { ExecProcess, ExecProcessOptions } from "./exec-process.ts";
import { encodeRequest, type Place } from "./exec-request.ts";

/** Our ends of what joins us to a command, and its ends. */
interface Ends {
  ours: { control: number; stdin?: number; stdout?: number; stderr?: number; terminal?: number };
  /** stdin, stdout, stderr, control, token, and with a terminal the socket for it; -1 for /dev/null. */
  theirs: number[];
}

/** How long it may take until an exec has begun, milliseconds. */
const beginPatience = 5000;

/**
 * Starts a command in a running container by hawser-exec. Undefined when that cannot be had: nothing has begun then. That is so,
 * after one more attempt, when hawser-exec was killed, or hangs, with the exec on its way. Throws the signal's reason when it
 * fires before the command has begun: it never begins then.
 */
export async function startByHelper(
  { helper }: { helper: ExecHelper },
  options: ExecProcessOptions,
  place: Place,
): Promise<ExecProcess | undefined> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const started = await begin(helper, options, place);
    if (started !== "not begun") return started;
  }
  return undefined;
}

async function begin(
  helper: ExecHelper,
  options: ExecProcessOptions,
  place: Place,
): Promise<ExecProcess | "not begun" | undefined> {
  const { container, signal } = options;
  using token = openToken();
  const { ours, theirs } = openEnds(options, token);
  const closeOurs = () => closeQuietly(ours.stdin, ours.stdout, ours.stderr);
  let porter: Porter | undefined;
  try {
    porter = await helper.enter(
      theirs.map((fd) => (fd < 0 ? devNull() : fd)),
      signal,
    );
  } finally {
    closeQuietly(...theirs.filter((fd) => fd !== token.fd));
    if (!porter) {
      closeQuietly(ours.control, ours.terminal);
      closeOurs();
    }
  }
  if (!porter) return undefined;
  const control = new ExecControl(ours, () => options.group.wasRemoved());
  let begun: boolean | undefined;
  try {
    const process = options.finishProcess
      ? await orAborted(options.finishProcess(options.process), signal)
      : options.process;
    await turn(); // files that were read for many execs are there at once
    signal.throwIfAborted();
    const { oomScoreAdj } = container.process;
    const request = encodeRequest({
      ...place,
      containerId: container.id,
      init: container.init,
      group: options.group.directory,
      process: { ...process, ...(oomScoreAdj !== undefined && { oomScoreAdj: helper.clampOOMScore(oomScoreAdj) }) },
    });
    control.ask(request);
    begun = await inTime(control.begun, signal);
    // Of this process and the waiter, which may be about to begin, the kernel lets one have the token.
    if (begun === undefined && !token.take()) begun = true;
  } catch (error) {
    control[Symbol.dispose](); // without a request the waiter ends
    closeOurs();
    throw error;
  }
  if (!begun) {
    control[Symbol.dispose](); // the waiter, if there is one, ends
    closeOurs();
    signal.throwIfAborted();
    if (begun === undefined) await orAborted(Promise.resolve(porter[Symbol.asyncDispose]()), signal); // it begins nothing
    return "not begun";
  }
  const { stdin, stdout, stderr } = ours;
  const master = ours.terminal === undefined ? undefined : () => control.terminal();
  const exited = control.exited.catch(async (error: unknown) => {
    if (!(error instanceof LostExecError)) throw error;
    await endUnwatched(options.group).catch((cause: unknown) => {
      throw error.stillRunning(cause);
    });
    throw error;
  });
  exited.catch(() => undefined); // the caller has the rejection
  return { stdin, stdout, stderr, exited, master, giveUp: () => control[Symbol.dispose]() };
}

/** What nobody watches does not go on. Resolves when all there is has its SIGKILL; what takes longer is not waited for. */
async function endUnwatched(group: ExecProcessOptions["group"]): Promise<void> {
  await group.signal("SIGKILL", 0);
  group.kill(0).catch(() => undefined); // its container's end ends it too
}

/**
 * Undefined when it takes too long, or nobody wants it any more; the word that it has begun may be on its way then, or here and
 * unread.
 */
async function inTime(begun: Promise<boolean>, signal: AbortSignal): Promise<boolean | undefined> {
  const { promise: enough, resolve } = Promise.withResolvers<undefined>();
  const stop = () => resolve(undefined);
  const timer = setTimeout(stop, beginPatience);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([begun, enough]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** Opens it all, or nothing. */
function openEnds({ process, outputBytes, ...wanted }: ExecProcessOptions, token: Token): Ends {
  const opened: number[] = [];
  const pipe = (bytes?: number) => {
    const { read, write } = openPipe(bytes);
    opened.push(read, write);
    return { read, write };
  };
  const socket = () => {
    const pair = openSocketPair("stream");
    opened.push(pair.ours, pair.theirs);
    return pair;
  };
  try {
    const stdin = wanted.stdin ? pipe(streamPipeBytes) : undefined;
    const stdout = wanted.stdout ? pipe(outputBytes) : undefined;
    const stderr = wanted.stderr ? pipe(outputBytes) : undefined;
    const control = socket();
    const terminal = process.terminal ? socket() : undefined;
    return {
      ours: {
        control: control.ours,
        ...(stdin && { stdin: stdin.write }),
        ...(stdout && { stdout: stdout.read }),
        ...(stderr && { stderr: stderr.read }),
        ...(terminal && { terminal: terminal.ours }),
      },
      theirs: [
        ...[stdin?.read ?? -1, stdout?.write ?? -1, stderr?.write ?? -1, control.theirs, token.fd],
        ...(terminal ? [terminal.theirs] : []),
      ],
    };
  } catch (error) {
    closeQuietly(...opened);
    throw error;
  }
}
