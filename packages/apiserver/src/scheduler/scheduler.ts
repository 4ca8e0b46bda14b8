import { type Node, type Pod, rfc3339, StatusError } from "@hawser/api";
import { type Change, follow, keyOf } from "../follow.ts";
import type { SchedulerOptions } from "../request.ts";
import { ClusterState, isOver, mattersToPods } from "./cluster-state.ts";
import { recordEvent } from "./events.ts";
import { emptiness, misfit, unschedulableMessage, unsupported } from "./filter.ts";

const schedulerName = "default-scheduler";
/** After a failure that is not the pod's (the store's, say) it is tried again. Milliseconds. */
const retryDelay = 1_000;

/**
 * Binds pods without a node to one that is ready, willing and has room: at once when a pod comes, and again when nodes or room change.
 * A pod that finds none is told why, in its PodScheduled condition and an event. Throws when nodes and pods cannot be listed.
 *
 * Source: kubernetes/kubernetes pkg/scheduler/schedule_one.go
 */
export async function startPodScheduler({ objects, log }: SchedulerOptions): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const { signal } = stop;
  const state = new ClusterState();
  const pending = new Map<string, Pod>();
  const waiting = new Map<string, Pod>();
  const timers = new Set<NodeJS.Timeout>();
  let working: Promise<void> = Promise.resolve();
  let isWorking = false;
  /** Set when all nodes and pods are known: before, there would seem to be room that is taken. */
  let isReady = false;

  const wake = () => {
    if (!isReady || isWorking || pending.size === 0 || signal.aborted) return;
    isWorking = true;
    working = work().finally(() => {
      isWorking = false;
      wake();
    });
  };
  const work = async () => {
    for (const [key, pod] of pending) {
      if (signal.aborted) return;
      pending.delete(key);
      await schedule(pod).catch((error: unknown) => retryLater(pod, error));
    }
  };
  const retryAll = () => {
    for (const [key, pod] of waiting) pending.set(key, pod);
    waiting.clear();
    wake();
  };
  const retryLater = (pod: Pod, error: unknown) => {
    if (signal.aborted) return;
    log.warn("pod could not be scheduled, trying again", { pod: keyOf(pod), error });
    const timer = setTimeout(() => {
      timers.delete(timer);
      const newest = pods.items.get(keyOf(pod));
      if (newest && isForUs(newest)) pending.set(keyOf(newest), newest);
      wake();
    }, retryDelay);
    timers.add(timer);
  };

  const onPod = ({ type, object, previous }: Change<Pod>) => {
    const key = keyOf(object);
    const nodeName = object.spec?.nodeName;
    if (type === "delete" || isOver(object) || nodeName) {
      pending.delete(key);
      waiting.delete(key);
    }
    if (type === "delete" || isOver(object)) {
      if (state.remove(object)) retryAll();
    } else if (nodeName) {
      state.place(object, nodeName);
    } else if (isForUs(object) && !state.isPlaced(object) && isNews(object, previous)) {
      waiting.delete(key);
      pending.set(key, object);
      wake();
    }
  };
  const onNode = (change: Change<Node>) => {
    if (change.type === "set") state.setNode(change.object);
    else state.removeNode(change.object);
    if (mattersToPods(change)) retryAll();
  };

  const schedule = async (pod: Pod) => {
    const refusal = unsupported(pod);
    const candidates = state.nodes();
    const misfits = candidates.map((node) => (refusal ? { reasons: [refusal], helped: false } : misfit(pod, node)));
    const fitting = candidates.filter((_, index) => misfits[index] === undefined);
    const best = fitting.toSorted(
      (a, b) => emptiness(pod, b) - emptiness(pod, a) || (keyOf(a.node) < keyOf(b.node) ? -1 : 1),
    )[0];
    if (best) return bind(pod, keyOf(best.node));
    waiting.set(keyOf(pod), pod);
    const message = unschedulableMessage(misfits.filter((one) => one !== undefined));
    await tell(pod, "Unschedulable", message);
  };

  const bind = async (pod: Pod, nodeName: string) => {
    const { namespace = "", name = "", uid } = pod.metadata ?? {};
    // Counted before the store knows: the next pod must see that the room is taken.
    state.place(pod, nodeName);
    try {
      await objects.bind({ namespace, name, ...(uid && { uid }) }, nodeName);
    } catch (error) {
      if (!pods.items.get(keyOf(pod))?.spec?.nodeName) state.remove(pod);
      // Bound by somebody else, gone, or going: the watch tells what to do, if anything.
      if (error instanceof StatusError && (error.code === 404 || error.code === 409)) return;
      throw error;
    }
    log.at(2, "Successfully bound pod to node", { pod: keyOf(pod), node: nodeName });
    recordEvent(
      { objects, log },
      { ...pod, kind: "Pod" },
      {
        type: "Normal",
        reason: "Scheduled",
        message: `Successfully assigned ${keyOf(pod)} to ${nodeName}`,
        action: "Binding",
        component: schedulerName,
      },
    ).catch(() => {}); // it logs its own failure, and never rejects
  };

  /** Says why a pod waits, once for each new reason. */
  const tell = async (pod: Pod, reason: string, message: string) => {
    const { namespace = "", name = "" } = pod.metadata ?? {};
    const known = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
    if (known?.status === "False" && known.reason === reason && known.message === message) return;
    log.at(2, "Unable to schedule pod", { pod: keyOf(pod), message });
    const lastTransitionTime = rfc3339(Date.now());
    const condition = { type: "PodScheduled", status: "False", reason, message, lastTransitionTime };
    const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
    const told = { ...pod, status: { ...pod.status, conditions: [...others, condition] } };
    try {
      const saved = await objects.update<Pod>({ resource: "pods", namespace, name, subresource: "status" }, told);
      if (waiting.has(keyOf(pod))) waiting.set(keyOf(pod), saved);
    } catch (error) {
      if (!(error instanceof StatusError) || (error.code !== 404 && error.code !== 409)) throw error;
      return; // gone or changed: the watch brings it anew
    }
    await recordEvent(
      { objects, log },
      { ...pod, kind: "Pod" },
      {
        type: "Warning",
        reason: "FailedScheduling",
        message,
        action: "Scheduling",
        component: schedulerName,
      },
    );
  };

  const nodes = follow<Node>(objects, { resource: "nodes" }, { signal, log, onChange: onNode });
  const pods = follow<Pod>(objects, { resource: "pods" }, { signal, log, onChange: onPod });
  const disposal = {
    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const timer of timers) clearTimeout(timer);
      await Promise.all([nodes.ended, pods.ended, working]);
    },
  };
  try {
    await Promise.all([nodes.synced, pods.synced]);
  } catch (error) {
    await disposal[Symbol.asyncDispose]();
    throw error;
  }
  isReady = true;
  wake();
  return disposal;
}

/** Pods for other schedulers, gated ones and those that are going are left alone. */
function isForUs({ metadata, spec }: Pod): boolean {
  const name = spec?.schedulerName ?? schedulerName;
  return name === schedulerName && !metadata?.deletionTimestamp && !spec?.nodeName && !spec?.schedulingGates?.length;
}

/** Our own word in its status does not make a pod another. */
function isNews(pod: Pod, previous: Pod | undefined): boolean {
  return !previous || JSON.stringify(pod.spec) !== JSON.stringify(previous.spec);
}
