import type { SchedulerOptions } from "../request.ts";
import { startNodeLifecycle } from "./node-lifecycle.ts";
import { startPodScheduler } from "./scheduler.ts";

/** The loops that place pods and watch nodes; they run until disposed. */
export async function startScheduler(options: SchedulerOptions): Promise<AsyncDisposable> {
  await using started = new AsyncDisposableStack();
  started.use(await startPodScheduler(options));
  started.use(await startNodeLifecycle(options));
  return started.move();
}
