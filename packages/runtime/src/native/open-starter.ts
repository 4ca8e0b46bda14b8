import type { Logger } from "@hawser/trace";
import type { Reaper } from "./reaper.ts";
import { startStarter } from "./starter.ts";

/** One that has ended sooner than this is not followed by another, milliseconds. */
const shortest = 1000;

/**
 * From now on the reaper's children are started by hawser-exec, and by another one when it has ended: until then, and where it does not run, by
 * the event loop itself, which the log says.
 */
export async function openStarter(
  { reaper, log, greeting }: { reaper: Reaper; log: Logger; greeting: string },
  program: string,
): Promise<AsyncDisposable> {
  let closed = false;
  let opening = open();
  await opening;

  async function open(): Promise<void> {
    const began = performance.now();
    try {
      const starter = await startStarter({ reaper, greeting }, program);
      reaper.starter = starter;
      void starter.ended.then(() => {
        reaper.starter = undefined;
        if (closed) return;
        log.warn("hawser-exec, which starts programs, has ended");
        if (performance.now() - began >= shortest) opening = open();
      });
    } catch (error) {
      log.warn("programs are started by the event loop itself", {
        reason: error instanceof Error ? error.message : error,
      });
    }
  }

  return {
    async [Symbol.asyncDispose]() {
      closed = true;
      await opening;
      await reaper.starter?.[Symbol.asyncDispose]();
    },
  };
}
