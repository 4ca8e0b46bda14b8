import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { rpcErrorText } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { attemptByLogs, removeLogsBefore } from "./attempt-by-logs.ts";
import { BackOff, durationText } from "./back-off.ts";
import { StartError, startContainer } from "./container-operations.ts";
import type { WaitingReason } from "./container-status.ts";
import type { ImagePuller, PulledImage } from "./images.ts";
import { podLogFolder } from "./paths.ts";
import type { Start } from "./plan.ts";
import { type BoundPod, type PodContainer, podContainers, podText } from "./pod.ts";
import { sandboxConfig } from "./sandbox-config.ts";
import { keptDead, type PodView, readySandbox, type ViewContainer } from "./view.ts";
import { involved } from "./worker-events.ts";

/** Milliseconds until a start is tried again that failed for no known reason. */
const retryAfter = 10_000;

export interface StarterDeps {
  context: KubeletContext;
  puller: ImagePuller;
  /** Ends every start that is under way. */
  signal: AbortSignal;
  /** A start has ended, well or not. */
  onSettled: () => void;
}

export interface StartContext {
  view: PodView;
  volumes: Map<string, string>;
  podIPs: string[];
}

/** Starts one pod's containers, side by side, each at most once at a time and not before its back-off is over. */
export class ContainerStarter {
  /** Why a container does not run, by its name. */
  readonly waiting = new Map<string, WaitingReason>();
  readonly #deps: StarterDeps;
  readonly #backOff: BackOff;
  readonly #running = new Map<string, Promise<void>>();
  readonly #retryAt = new Map<string, number>();
  readonly #images = new Map<string, Promise<PulledImage>>();

  constructor(deps: StarterDeps) {
    this.#deps = deps;
    this.#backOff = new BackOff(deps.context.now);
  }

  /** When something is to be tried again, milliseconds since 1970. */
  get nextRetry(): number {
    return Math.min(...this.#retryAt.values(), Number.POSITIVE_INFINITY);
  }

  /** Resolves when nothing is under way, or after this many milliseconds. */
  async settled(mostMs?: number): Promise<void> {
    const all = Promise.allSettled(this.#running.values());
    if (mostMs === undefined) await all;
    else await Promise.race([all, delay(mostMs)]);
  }

  /** Looks for the images of what starts first, while the sandbox comes up. */
  prefetch(pod: BoundPod): void {
    const all = podContainers(pod);
    const [first] = all;
    const firsts = first?.kind === "regular" ? all.filter(({ kind }) => kind === "regular") : all.slice(0, 1);
    for (const { container } of firsts) {
      if (this.#images.has(container.name) || this.#mustWait(container.name)) continue;
      const image = this.#deps.puller.ensure(pod, container, this.#deps.signal);
      image.catch(() => undefined); // the start that takes it reports it
      this.#images.set(container.name, image);
    }
  }

  /** Has the container started, unless it is being started, waits for its turn, or has no sandbox. */
  start(pod: BoundPod, wanted: Start, { view, volumes, podIPs }: StartContext): void {
    const { context, puller, signal } = this.#deps;
    const { what, attempt, after } = wanted;
    const { name } = what.container;
    const sandbox = readySandbox(view);
    if (!sandbox || this.#running.has(name) || this.#mustWait(name)) return;
    if (after && this.#backsOff(pod, what, after)) return;
    this.#retryAt.delete(name);
    const image = this.#images.get(name) ?? puller.ensure(pod, what.container, signal);
    this.#images.delete(name);
    image.catch(() => undefined); // startContainer reports it, though not at once
    const target = what.target ? view.containers.get(what.target)?.[0] : undefined;
    const inputs = {
      sandboxId: sandbox.id,
      sandboxConfig: sandboxConfig(context, pod, sandbox.metadata?.attempt ?? 0),
      podIPs,
      volumes,
      image,
      ...(target && { targetId: target.status.id }),
      signal,
    };
    const run = async () => {
      try {
        const known = after || attempt > 0;
        const logs = path.join(podLogFolder(context.folders, pod), name);
        const number = known ? attempt : await attemptByLogs(logs);
        await startContainer(context, pod, what, { ...inputs, attempt: number });
        this.waiting.delete(name);
        for (const { status } of (view.containers.get(name) ?? []).slice(keptDead)) {
          await context.runtime.removeContainer({ containerId: status.id }, { signal });
        }
        await removeLogsBefore(logs, number - keptDead);
      } catch (error) {
        if (!signal.aborted) this.#failed(pod, name, error);
      } finally {
        this.#running.delete(name);
        this.#deps.onSettled();
      }
    };
    this.#running.set(name, run());
  }

  #mustWait(name: string): boolean {
    return (this.#retryAt.get(name) ?? 0) > this.#deps.context.now();
  }

  #failed(pod: BoundPod, name: string, error: unknown): void {
    const { now, log, events } = this.#deps.context;
    if (error instanceof StartError) {
      this.waiting.set(name, error.waiting);
      this.#retryAt.set(name, now() + error.retryAfter);
      return;
    }
    log.warn("container start", { pod: podText(pod), container: name, error });
    events.record(involved(pod, name), "Warning", "Failed", `Error: ${rpcErrorText(error)}`);
    this.#retryAt.set(name, now() + retryAfter);
  }

  /** True while the container has to wait before it starts again; says so in its status. */
  #backsOff(pod: BoundPod, { container: { name } }: PodContainer, after: ViewContainer): boolean {
    const { now, events } = this.#deps.context;
    const { finishedAt, createdAt } = after.status;
    const endedAt = Number((finishedAt > 0n ? finishedAt : createdAt) / 1_000_000n);
    const wait = this.#backOff.remaining(name, endedAt);
    if (wait <= 0) {
      this.#backOff.next(name, endedAt);
      return false;
    }
    const text = podText(pod);
    const news = `Back-off restarting failed container ${name} in pod ${text}`;
    events.record(involved(pod, name), "Warning", "BackOff", news);
    const pause = durationText(this.#backOff.pause(name));
    const message = `back-off ${pause} restarting failed container=${name} pod=${text}`;
    this.waiting.set(name, { reason: "CrashLoopBackOff", message });
    this.#retryAt.set(name, now() + wait);
    return true;
  }
}
