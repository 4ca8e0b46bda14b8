import type { Socket } from "node:net";
import type { ExecGroup } from "../cgroup/exec-groups.ts";
import { killQuietly } from "../native/spawn.ts";
import type { ExecProcess } from "./exec-process.ts";

/** How long a command that had not begun when its client went is waited for, to be killed, milliseconds. */
const lastKill = 2000;

export interface Ender extends Disposable {
  /** A failure of the streams between client and command ends the command, as the client's going away does. */
  guard<T>(output: Promise<T>): Promise<T | undefined>;
  /** Resolves when nothing has to be ended, or all has ended. */
  ended(): Promise<void>;
}

/** Ends the command when its client is gone: no more input, hang-up, grace, kill. Nothing of it is left then. */
export function endOnAbort(options: {
  signal: AbortSignal;
  group: ExecGroup;
  started: ExecProcess;
  graceMs: number;
  input?: Socket | undefined;
}): Ender {
  const { signal, group, graceMs, input } = options;
  const { runtimePid, exited } = options.started;
  const spared = () => runtimePid?.() ?? 0;
  const lost = new AbortController();
  let ending: Promise<void> | undefined;
  const end = async () => {
    input?.destroy();
    if (graceMs > 0) {
      try {
        await group.signal("SIGHUP", spared());
        const deadline = performance.now() + graceMs;
        while (performance.now() < deadline && (await group.count(spared())) > 0) {
          await pause(20);
        }
      } catch {
        // Without a descriptor to look at it by, say. What is told of is who cannot be killed either.
      }
    }
    // Who goes that early finds nobody in the group yet: a command that is still on its way is killed as it comes.
    let over = false;
    const settled = () => {
      over = true;
    };
    exited.then(settled, settled);
    const deadline = performance.now() + lastKill;
    let failure: { cause: unknown } | undefined;
    do {
      failure = await group.kill(spared()).then(
        () => undefined,
        (cause: unknown) => ({ cause }), // as for want of descriptors: it may go better in a moment
      );
      await pause(5);
    } while ((!over || failure) && performance.now() < deadline);
    if (!over) {
      if (spared() > 0) killQuietly(spared(), "SIGKILL"); // the OCI runtime itself hangs
      options.started.giveUp?.();
    }
    if (failure) throw new Error("the command may be running yet: it could not be ended", failure);
  };
  const start = () => {
    ending ??= end();
    ending.catch(() => undefined); // ended() has the rejection
  };
  if (signal.aborted) start();
  signal.addEventListener("abort", start, { once: true });
  return {
    async guard(output) {
      try {
        return await output;
      } catch (error) {
        lost.abort(error);
        start();
        return undefined;
      }
    },
    async ended() {
      await ending;
      if (lost.signal.aborted) throw lost.signal.reason;
    },
    [Symbol.dispose]: () => signal.removeEventListener("abort", start),
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
