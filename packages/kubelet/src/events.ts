import { randomBytes } from "node:crypto";
import { setTimeout as timeout } from "node:timers/promises";
import { rfc3339, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import type { Logger } from "@hawser/trace";

/** Events that wait to be sent; the oldest goes when one more comes. */
const maxWaiting = 500;
/** Events remembered, so that a repetition counts up an old one. */
const maxRemembered = 1000;
/** Milliseconds between an event and its sending: a pod's status goes first. */
const sendDelay = 50;
/**
 * How often an event is tried while there is no API server to take it, and milliseconds between two tries; after the first it is at once. Upstream's.
 * That is 100 s where each fails at once, and longer by what the tries take.
 */
const maxTries = 12;
const pause = 10_000;

export interface Involved {
  kind: "Pod" | "Node";
  apiVersion?: string;
  namespace?: string;
  name: string;
  uid: string;
  /** `spec.containers{web}` */
  fieldPath?: string;
}

export interface EventRecorder extends AsyncDisposable {
  record(involved: Involved, type: "Normal" | "Warning", reason: string, message: string): void;
}

interface Remembered {
  name: string;
  count: number;
}

interface Waiting {
  involved: Involved;
  type: string;
  reason: string;
  message: string;
  at: string;
}

/**
 * Sends events in the background, one after the other. An event that repeats an earlier one (same object, reason and
 * text) counts that one up. What the API server refuses is logged, and not tried again; where it cannot be reached, or has no time, it is tried 12 times in all.
 * Meanwhile the others wait. `delay` resolves after some milliseconds, and rejects when its signal is aborted.
 *
 * Source: kubernetes/client-go tools/record
 */
export function createEventRecorder(options: {
  client: Pick<KubeClient, "create" | "patch">;
  nodeName: string;
  log: Logger;
  now?: () => number;
  delay?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}): EventRecorder {
  const { client, nodeName, log, now = Date.now } = options;
  const { delay = (ms, signal) => timeout(ms, undefined, { signal }) } = options;
  const waiting: Waiting[] = [];
  const remembered = new Map<string, Remembered>();
  const stop = new AbortController();
  let dropped = 0;
  let running: Promise<void> | undefined;

  async function drain(): Promise<void> {
    await delay(sendDelay, stop.signal).catch(() => undefined);
    for (let event = waiting.shift(); event && !stop.signal.aborted; event = waiting.shift()) {
      try {
        await sendSurely(event);
      } catch (error) {
        if (!stop.signal.aborted)
          log.warn("event not sent", { reason: event.reason, object: event.involved.name, error });
      }
    }
    if (dropped > 0) log.warn("events dropped", { count: dropped });
    dropped = 0;
    running = undefined;
  }

  /** Throws what the API server refuses, and at last what it cannot be reached for. */
  async function sendSurely(event: Waiting): Promise<void> {
    const key = JSON.stringify([event.involved, event.type, event.reason, event.message]);
    const known = remembered.get(key);
    if (known) known.count++;
    const { name } = event.involved;
    // One name for all tries: of one whose answer was lost, the next says that it has arrived.
    const fresh = `${name}.${BigInt(now()).toString(16)}${randomBytes(4).toString("hex")}`;
    for (let tries = 1; ; tries++) {
      try {
        return await send(event, { key, known, fresh });
      } catch (error) {
        if (stop.signal.aborted || isRefusal(error) || tries === maxTries) throw error;
        if (tries === 2) log.warn("events wait: the API server does not take them", { error });
        if (tries > 1) await delay(pause, stop.signal);
      }
    }
  }

  async function send(
    { involved, type, reason, message, at }: Waiting,
    { key, known, fresh }: { key: string; known: Remembered | undefined; fresh: string },
  ): Promise<void> {
    const { signal } = stop;
    const namespace = involved.namespace ?? "default";
    if (known) {
      const ref = { resource: "events", namespace, name: known.name };
      try {
        await client.patch(ref, { count: known.count, lastTimestamp: at }, { type: "strategic", signal });
        return;
      } catch (error) {
        if (!(error instanceof StatusError) || error.code !== 404) throw error; // events expire: then it is a new one
      }
    }
    const event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: fresh, namespace },
      involvedObject: { apiVersion: "v1", ...involved },
      type,
      reason,
      message,
      source: { component: "kubelet", host: nodeName },
      reportingComponent: "kubelet",
      reportingInstance: nodeName,
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
    await client.create({ resource: "events", namespace }, event, { signal }).catch((error: unknown) => {
      if (!(error instanceof StatusError) || error.reason !== "AlreadyExists") throw error;
    });
    remembered.set(key, { name: fresh, count: 1 });
    const [oldest] = remembered.keys();
    if (remembered.size > maxRemembered && oldest) remembered.delete(oldest);
  }

  return {
    record(involved, type, reason, message) {
      if (stop.signal.aborted) return;
      if (waiting.length >= maxWaiting) {
        waiting.shift();
        dropped++;
      }
      const at = rfc3339(now());
      waiting.push({ involved, type, reason, message: message.slice(0, 1024), at });
      running ??= drain();
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the kubelet stops"));
      await running;
    },
  };
}

/** Whether an API server says no to this event, and not that it, or what is before or behind it, has no time now. */
function isRefusal(error: unknown): boolean {
  return error instanceof StatusError && ![429, 502, 503, 504].includes(error.code);
}
