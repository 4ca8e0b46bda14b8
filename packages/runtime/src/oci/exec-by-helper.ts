import { closeQuietly } from "../native/libc.ts";
import { devNull } from "../native/null-device.ts";
import { openPipe, streamPipeBytes } from "../native/pipe.ts";
import { openSocketPair } from "../native/socket.ts";
import { ExecControl, LostExecError } from "./exec-control.ts";
import type { ExecHelper } from "./exec-helper.ts";
import type { ExecProcess, ExecProcessOptions } from "./exec-process.ts";
import { encodeRequest, type Place } from "./exec-request.ts";

/** Our ends of what joins us to a command, and its ends. */
interface Ends {
  ours: { control: number; stdin?: number; stdout?: number; stderr?: number; terminal?: number };
  /** stdin, stdout, stderr, control, and with a terminal the socket for it; -1 for /dev/null. */
  theirs: number[];
}

/**
 * Starts a command in a running container by hawser-exec. Undefined when that cannot be had: nothing was tried then.
 */
export async function startByHelper(
  { helper }: { helper: ExecHelper },
  options: ExecProcessOptions,
  place: Place,
): Promise<ExecProcess | undefined> {
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
    const process = options.finishProcess ? await options.finishProcess(options.process) : options.process;
    const { oomScoreAdj } = container.process;
    const request = encodeRequest({
      ...place,
      containerId: container.id,
      init: container.init,
      group: options.group.directory,
      process: { ...process, ...(oomScoreAdj !== undefined && { oomScoreAdj: helper.clampOOMScore(oomScoreAdj) }) },
    });
    control.ask(request);
  } catch (error) {
    control[Symbol.dispose](); // without a request the waiter ends
    closeOurs();
    throw error;
  }
  const { stdin, stdout, stderr } = ours;
  const master = ours.terminal === undefined ? undefined : () => control.terminal();
  const exited = control.exited.catch(async (error: unknown) => {
    if (error instanceof LostExecError) await options.group.kill(0); // what nobody watches does not go on
    throw error;
  });
  return { stdin, stdout, stderr, exited, master };
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
