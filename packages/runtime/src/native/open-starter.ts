import type { Logger } from "@hawser/trace";
import type { Reaper } from "./reaper.ts";
import { type Starter, startStarter } from "./starter.ts";

/** One that has ended sooner than this is followed by another only after `rest`, milliseconds. */
const shortest = 1000;
const rest = 60_000;

/**
 * From now on the reaper's children are started by hawser-exec, and by another one when it has ended. Meanwhile the event loop
 * starts them, which the log says. Throws, in words for people, when it does not run here or is of another version.
 */
export async function openStarter(
  dependencies: { reaper: Reaper; log: Logger; greeting: string; mark: string },
  program: string,
): Promise<AsyncDisposable> {
  const { reaper, log } = dependencies;
  let closed = false;
  let pause: NodeJS.Timeout | undefined;
  let opening = startStarter(dependencies, program).then(take);
  await opening;

  function take(starter: Starter): void {
    const began = performance.now();
    reaper.starter = starter;
    void starter.ended.then(() => {
      reaper.starter = undefined;
      if (closed) return;
      const soon = performance.now() - began < shortest;
      log.warn("hawser-exec, which starts programs, has ended", { another: soon ? `in ${rest / 1000} s` : "now" });
      if (soon) wait();
      else again();
    });
  }

  function again(): void {
    opening = startStarter(dependencies, program).then(take, (error: unknown) => {
      log.warn("hawser-exec does not start again", { error: error instanceof Error ? error.message : String(error) });
      if (!closed) wait();
    });
  }

  function wait(): void {
    pause = setTimeout(again, rest).unref();
  }

  return {
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(pause);
      await opening;
      await reaper.starter?.[Symbol.asyncDispose]();
    },
  };
}
