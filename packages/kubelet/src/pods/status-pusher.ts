import { setTimeout as delay } from "node:timers/promises";
import { type PodCondition, type PodStatus, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import type { Logger } from "@hawser/trace";
import { type BoundPod, podText } from "./pod.ts";

/** First and longest pause after a failed push, milliseconds. */
export const firstPause = 200;
export const longestPause = 10_000;

/**
 * Brings one pod's status to the API server: at once, one request at a time, of several that wait only the newest.
 * Repeats a failed push until a newer status replaces it or the pod is gone.
 */
export class StatusPusher implements Disposable {
  readonly #client: Pick<KubeClient, "patch">;
  readonly #log: Logger;
  readonly #pod: BoundPod;
  readonly #stop = new AbortController();
  #sent: PodStatus | undefined;
  #wanted: PodStatus | undefined;
  #running: Promise<void> | undefined;

  constructor({ client, log }: { client: Pick<KubeClient, "patch">; log: Logger }, pod: BoundPod) {
    this.#client = client;
    this.#log = log;
    this.#pod = pod;
    this.#sent = pod.status;
  }

  /** The newest status wanted; the API's own at first. */
  get latest(): PodStatus | undefined {
    return this.#wanted ?? this.#sent;
  }

  /** Has it sent, or sends it soon; does nothing when nothing has changed. */
  set(status: PodStatus): void {
    if (same(status, this.latest)) return;
    this.#wanted = status;
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when the newest status is sent, or never will be. */
  async flush(): Promise<void> {
    await this.#running;
  }

  /** Gives up what is not sent. */
  [Symbol.dispose](): void {
    this.#stop.abort(new Error("the pod worker has ended"));
  }

  async #drain(): Promise<void> {
    let pause = firstPause;
    for (let status = this.#wanted; status && !this.#stop.signal.aborted; status = this.#wanted) {
      try {
        await this.#push(status);
        this.#sent = status;
        pause = firstPause;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const code = error instanceof StatusError ? error.code : 0;
        if (code === 404 || code === 409) {
          // Deleted, or another pod has its name by now.
          this.#sent = status;
        } else {
          this.#log.warn("pod status not sent", { pod: podText(this.#pod), error });
          await delay(pause, undefined, { signal: this.#stop.signal }).catch(() => undefined);
          pause = Math.min(pause * 2, longestPause);
          continue;
        }
      }
      if (this.#wanted === status) this.#wanted = undefined;
    }
  }

  async #push(status: PodStatus): Promise<void> {
    const { namespace, name, uid } = this.#pod.metadata;
    const before = this.#sent ?? {};
    const removed = Object.keys(before).filter((key) => !(key in status) && !(key in kept));
    const body = {
      metadata: { uid },
      status: {
        ...Object.fromEntries(removed.map((key) => [key, null])),
        ...status,
        conditions: conditionsPatch(status.conditions, before.conditions),
        // Merged by address: an old one would stay.
        ...(before.podIPs &&
          status.podIPs &&
          !same(before.podIPs, status.podIPs) && { podIPs: [{ $patch: "replace" }, ...status.podIPs] }),
      },
    };
    const ref = { resource: "pods", namespace, name, subresource: "status" };
    await this.#client.patch(ref, body, { type: "strategic", signal: this.#stop.signal });
  }
}

/** Merged by type: what a condition no longer says has to be taken back. */
function conditionsPatch(wanted: PodCondition[] = [], before: PodCondition[] = []): unknown[] {
  return wanted.map((condition) => {
    const old = before.find(({ type }) => type === condition.type) ?? {};
    const gone = Object.keys(old).filter((key) => !(key in condition));
    return { ...condition, ...Object.fromEntries(gone.map((key) => [key, null])) };
  });
}

/** Members of a status that others write. */
const kept: Record<string, true> = { nominatedNodeName: true, resize: true, observedGeneration: true };

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

/** Keys in order, so that what the server sends back compares equal; null and absent are the same. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
  return Object.fromEntries(entries.sort(([x], [y]) => (x < y ? -1 : 1)).map(([key, member]) => [key, sorted(member)]));
}
