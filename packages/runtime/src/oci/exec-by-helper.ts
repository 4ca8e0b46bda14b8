import { closeQuietly } from "../native/libc.ts";
import { devNull } from "../native/null-device.ts";
import { openPipe, streamPipeBytes } from "../native/pipe.ts";
import { openSocketPair } from "../native/socket.ts";
import { ExecControl, LostExecError } from "./exec-control.ts";
import type { ExecHelper } from "./exec-helper.ts";
import type { ExecProcess, ExecProcessOptions } from "./exec-process.ts";
import { encodeRequest, type Place } from "./exec-request.ts";
import type { Process } from "./types.ts";

/** Our ends of what joins us to a command, and its ends. */
interface Ends {
  ours: { control: number; stdin?: number; stdout?: number; stderr?: number; terminal?: number };
  /** stdin, stdout, stderr, control, and with a terminal the socket for it; -1 for /dev/null. */
  theirs: number[];
}

/** How long it may take until an exec has begun, milliseconds. */
const beginPatience = 5000;

/**
 * Starts a command in a running container by hawser-exec. Undefined when that cannot be had: nothing has begun then. That is so,
 * after one more attempt, when hawser-exec was killed, or hangs, with the exec on its way.
 */
export async function startByHelper(
  { helper }: { helper: ExecHelper },
  options: ExecProcessOptions,
  place: Place,
): Promise<ExecProcess | undefined> {
  let finished: Promise<Process> | undefined;
  const finish = () => {
    finished ??= options.finishProcess ? options.finishProcess(options.process) : Promise.resolve(options.process);
    return finished;
  };
  for (let attempt = 0; attempt < 2; attempt++) {
    const started = await begin(helper, { ...options, finishProcess: finish }, place);
    if (started !== "not begun") return started;
  }
  return undefined;
}

async function begin(
  helper: ExecHelper,
  options: ExecProcessOptions & { finishProcess: () => Promise<Process> },
  place: Place,
): Promise<ExecProcess | "not begun" | undefined> {
  const { container } = options;
  const { ours, theirs } = openEnds(options);
  const closeOurs = () => closeQuietly(ours.stdin, ours.stdout, ours.stderr);
  let entered = false;
  try {
    entered = await helper.enter(theirs.map((fd) => (fd < 0 ? devNull() : fd)));
  } finally {
    closeQuietly(...theirs);
    if (!entered) {
      closeQuietly(ours.control, ours.terminal);
      closeOurs();
    }
  }
  if (!entered) return undefined;
  const control = new ExecControl(ours);
  try {
    const process = await options.finishProcess();
    const { oomScoreAdj } = container.process;
    const request = encodeRequest({
      ...place,
      containerId: container.id,
      init: container.init,
      group: options.group.directory,
      process: { ...process, ...(oomScoreAdj !== undefined && { oomScoreAdj: helper.clampOOMScore(oomScoreAdj) }) },
    });
    control.ask(request);
    const begun = await inTime(control.begun);
    if (!begun) {
      control[Symbol.dispose](); // who reads the request from here on cannot say so, and ends
      closeOurs();
      if (begun === undefined) await helper.replace();
      return "not begun";
    }
  } catch (error) {
    control[Symbol.dispose](); // without a request the waiter ends
    closeOurs();
    throw error;
  }
  const { stdin, stdout, stderr } = ours;
  const master = ours.terminal === undefined ? undefined : () => control.terminal();
  const exited = control.exited.catch(async (error: unknown) => {
    if (error instanceof LostExecError) await endUnwatched(options.group);
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
 * Undefined when it takes too long. What has come meanwhile is read first: after a standstill of this process the time may be over
 * with the word that it has begun still unread, and the command must not begin again.
 */
async function inTime(begun: Promise<boolean>): Promise<boolean | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => setImmediate(resolve, undefined), beginPatience);
  return await Promise.race([begun, late]).finally(() => clearTimeout(timer));
}

/** Opens it all, or nothing. */
function openEnds({ process, outputBytes, ...wanted }: ExecProcessOptions): Ends {
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
        ...[stdin?.read ?? -1, stdout?.write ?? -1, stderr?.write ?? -1, control.theirs],
        ...(terminal ? [terminal.theirs] : []),
      ],
    };
  } catch (error) {
    closeQuietly(...opened);
    throw error;
  }
}
