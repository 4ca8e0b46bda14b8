import type { SchedulerOptions } from "../request.ts";
import { startNodeLifecycle } from "./node-lifecycle.ts";
import { startPodCollector } from "./pod-gc.ts";
import { startPodScheduler } from "./scheduler.ts";

/** The loops that place pods, watch nodes and clear up behind those that are gone; they run until disposed. */
export async function startScheduler(options: SchedulerOptions): Promise<AsyncDisposable> {
  await using started = new AsyncDisposableStack();
  started.use(await startPodScheduler(options));
  started.use(await startNodeLifecycle(options));
  started.use(await startPodCollector(options));
  return started.move();
}
