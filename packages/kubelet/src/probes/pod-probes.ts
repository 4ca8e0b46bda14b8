import { setTimeout as delay } from "node:timers/promises";
import type { Container, Probe } from "@hawser/api";
import type { RuntimeClient } from "@hawser/cri";
import type { Logger } from "@hawser/trace";
import { orAborted } from "../or-aborted.ts";
import type { Verdicts } from "../pods/plan.ts";
import { runProbe } from "./probe.ts";

type ProbeKind = "startup" | "readiness" | "liveness";

interface Tracked {
  stop: AbortController;
  ready: boolean;
  started: Promise<void>;
  startupPassed: boolean;
  failed: "startup" | "liveness" | undefined;
}

export interface RunningContainer {
  id: string;
  container: Container;
  /** Milliseconds since 1970. */
  startedAt: number;
  podIP: string;
}

export interface PodProbesOptions {
  runtime: Pick<RuntimeClient, "execSync">;
  log: Logger;
  /** A verdict has changed. */
  onChange: () => void;
  /** A check went wrong; for an event. */
  onFailure: (container: string, message: string) => void;
  now?: () => number;
}

/**
 * Runs the probes of one pod's containers and keeps their verdicts. Startup holds the other two back.
 *
 * Source: kubernetes pkg/kubelet/prober/{worker,prober_manager}.go
 */
export class PodProbes implements Verdicts, Disposable {
  readonly #options: PodProbesOptions;
  readonly #tracked = new Map<string, Tracked>();
  #frozen = false;

  constructor(options: PodProbesOptions) {
    this.#options = options;
  }

  /** Says which containers run now: new ones are probed from here on, those that are missing no longer. */
  track(running: RunningContainer[]): void {
    const ids = new Set(running.map(({ id }) => id));
    for (const [id, tracked] of this.#tracked) {
      if (ids.has(id)) continue;
      tracked.stop.abort();
      this.#tracked.delete(id);
    }
    if (this.#frozen) return;
    for (const one of running) if (!this.#tracked.has(one.id)) this.#start(one);
  }

  isReady(id: string): boolean {
    return this.#tracked.get(id)?.ready ?? false;
  }

  startupPassed(id: string): boolean {
    return this.#tracked.get(id)?.startupPassed ?? false;
  }

  failed(id: string): "startup" | "liveness" | undefined {
    return this.#tracked.get(id)?.failed;
  }

  /** The pod is going: nothing is probed any more, verdicts stay. */
  freeze(): void {
    this.#frozen = true;
    for (const { stop } of this.#tracked.values()) stop.abort();
  }

  [Symbol.dispose](): void {
    this.freeze();
    this.#tracked.clear();
  }

  #start(one: RunningContainer): void {
    const { startupProbe, readinessProbe, livenessProbe } = one.container;
    const { promise: started, resolve } = Promise.withResolvers<void>();
    const tracked: Tracked = {
      stop: new AbortController(),
      ready: !readinessProbe,
      started,
      startupPassed: !startupProbe,
      failed: undefined,
    };
    this.#tracked.set(one.id, tracked);
    const pass = () => {
      tracked.startupPassed = true;
      resolve();
      this.#options.onChange();
    };
    if (startupProbe) {
      const settle = (good: boolean) => {
        if (good) pass();
        return good;
      };
      this.#loop(one, tracked, { kind: "startup", probe: startupProbe, settle });
    } else resolve();
    if (readinessProbe) {
      const settle = (good: boolean) => {
        if (tracked.ready !== good) {
          tracked.ready = good;
          this.#options.onChange();
        }
        return false;
      };
      this.#loop(one, tracked, { kind: "readiness", probe: readinessProbe, settle });
    }
    if (livenessProbe) this.#loop(one, tracked, { kind: "liveness", probe: livenessProbe, settle: () => false });
  }

  #loop(one: RunningContainer, tracked: Tracked, run: ProbeLoop): void {
    this.#probe(one, tracked, run).catch((error: unknown) => {
      if (!tracked.stop.signal.aborted)
        this.#options.log.error("probe ended", { container: one.container.name, error });
    });
  }

  async #probe(one: RunningContainer, tracked: Tracked, { kind, probe, settle }: ProbeLoop): Promise<void> {
    const { runtime, now = Date.now, onFailure, onChange } = this.#options;
    const { signal } = tracked.stop;
    const {
      initialDelaySeconds = 0,
      periodSeconds = 10,
      timeoutSeconds = 1,
      successThreshold = 1,
      failureThreshold = 3,
    } = probe;
    await delay(Math.max(0, one.startedAt + initialDelaySeconds * 1000 - now()), undefined, { signal });
    if (kind !== "startup") await orAborted(tracked.started, signal);
    let good = 0;
    let bad = 0;
    for (;;) {
      const target = { containerId: one.id, container: one.container, podIP: one.podIP };
      const result = await runProbe({ runtime }, probe, target, { timeoutMs: timeoutSeconds * 1000, signal }).catch(
        (error: unknown) => {
          signal.throwIfAborted();
          const message = error instanceof Error ? error.message : String(error);
          onFailure(one.container.name, `${label(kind)} probe errored: ${message}`);
          return undefined;
        },
      );
      if (result?.ok) {
        good++;
        bad = 0;
        if (good >= successThreshold && settle(true)) return;
      } else if (result) {
        bad++;
        good = 0;
        onFailure(one.container.name, `${label(kind)} probe failed: ${result.message}`);
        if (bad >= failureThreshold) {
          if (kind !== "readiness") {
            tracked.failed = kind;
            onChange();
            return;
          }
          settle(false);
        }
      }
      await delay(periodSeconds * 1000, undefined, { signal });
    }
  }
}

interface ProbeLoop {
  kind: ProbeKind;
  probe: Probe;
  /** Takes a verdict; true ends the probing. */
  settle: (good: boolean) => boolean;
}

function label(kind: ProbeKind): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1);
}
