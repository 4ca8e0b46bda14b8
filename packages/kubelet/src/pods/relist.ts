import { setTimeout as delay } from "node:timers/promises";
import { isUnimplemented } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { podUIDLabel } from "./labels.ts";

/** Milliseconds between two looks at all containers. Source: kubernetes pkg/kubelet/kubelet.go plegRelistPeriod */
const relistPeriod = 1000;

export interface RuntimeSnapshot {
  /** Of each pod: its sandboxes and containers with their states, as one comparable text. */
  pods: Map<string, string>;
}

/** Lists everything kubelets have made in the runtime. What has no pod's uid on it is someone else's. */
export async function snapshot(
  { runtime }: Pick<KubeletContext, "runtime">,
  signal?: AbortSignal,
): Promise<RuntimeSnapshot> {
  const [{ items }, { containers }] = await Promise.all([
    runtime.listPodSandbox({}, { signal }),
    runtime.listContainers({}, { signal }),
  ]);
  const parts = new Map<string, string[]>();
  for (const { id, state, labels } of [...items, ...containers]) {
    const uid = labels[podUIDLabel];
    if (!uid) continue;
    const list = parts.get(uid);
    if (list) list.push(`${id}=${state}`);
    else parts.set(uid, [`${id}=${state}`]);
  }
  return { pods: new Map([...parts].map(([uid, list]) => [uid, list.sort().join()])) };
}

export interface RelistOptions {
  /** Something of this pod has changed. */
  onChange: (uid: string) => void;
  /** After each look. */
  onSnapshot: (snapshot: RuntimeSnapshot) => void;
  /** The runtime did not answer, and does again. */
  onRecovery: () => void;
  signal: AbortSignal;
}

/**
 * Notices what happens in the runtime: by a look each second, and at once by its events where it has them.
 * Resolves on abort.
 *
 * Source: kubernetes pkg/kubelet/pleg
 */
export async function watchRuntime(
  context: Pick<KubeletContext, "runtime" | "log">,
  { onChange, onSnapshot, onRecovery, signal }: RelistOptions,
): Promise<void> {
  const events = followEvents(context, { onChange, signal });
  let before: RuntimeSnapshot = { pods: new Map() };
  let failing = false;
  while (!signal.aborted) {
    try {
      const now = await snapshot(context, signal);
      for (const uid of new Set([...before.pods.keys(), ...now.pods.keys()])) {
        if (before.pods.get(uid) !== now.pods.get(uid)) onChange(uid);
      }
      before = now;
      onSnapshot(now);
      if (failing) {
        context.log.info("runtime answers again");
        onRecovery();
      }
      failing = false;
    } catch (error) {
      if (!signal.aborted && !failing) context.log.warn("runtime does not answer", { error });
      failing = true;
    }
    await delay(relistPeriod, undefined, { signal }).catch(() => undefined);
  }
  await events;
}

async function followEvents(
  { runtime, log }: Pick<KubeletContext, "runtime" | "log">,
  { onChange, signal }: Pick<RelistOptions, "onChange" | "signal">,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of runtime.getContainerEvents({}, { signal })) {
        const uid = event.podSandboxStatus?.metadata?.uid;
        if (uid) onChange(uid);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isUnimplemented(error)) {
        log.at(1, "the runtime has no container events: looking each second must do");
        return;
      }
      log.at(2, "container events ended", { error });
    }
    await delay(relistPeriod, undefined, { signal }).catch(() => undefined);
  }
}
