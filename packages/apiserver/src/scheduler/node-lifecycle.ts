import { type Lease, type Node, type NodeCondition, type Pod, rfc3339, StatusError } from "@hawser/api";
import { type Change, follow, keyOf } from "../follow.ts";
import type { SchedulerOptions } from "../request.ts";
import { recordEvent } from "./events.ts";

/** A node that has not renewed its lease for so long is not heard of any more. Milliseconds. Source: kube-controller-manager --node-monitor-grace-period */
const gracePeriod = 40_000;
/** What is not known of a silent node, besides whether it is ready. */
const conditionTypes = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
const leaseNamespace = "kube-node-lease";

export interface NodeLifecycleOptions extends SchedulerOptions {
  /** Milliseconds. */
  gracePeriod?: number;
}

/**
 * Marks nodes whose kubelet has gone silent: their conditions become Unknown, their pods not ready. What counts is when we saw the lease change
 * by our own clock, so clocks may differ, and a server that was down gives every node a full period.
 *
 * Source: kubernetes/kubernetes pkg/controller/nodelifecycle/node_lifecycle_controller.go
 */
export async function startNodeLifecycle(options: NodeLifecycleOptions): Promise<AsyncDisposable> {
  const { objects, log, gracePeriod: grace = gracePeriod } = options;
  const stop = new AbortController();
  const { signal } = stop;
  /** When each node was last heard of, and the timer that looks at it next. */
  const heard = new Map<string, { at: number; timer: NodeJS.Timeout | undefined }>();
  const running = new Set<Promise<void>>();

  const hear = (name: string) => {
    const entry = heard.get(name);
    if (entry) entry.at = performance.now();
    if (entry && !entry.timer && nodes.items.has(name)) arm(name, grace);
  };
  const arm = (name: string, delay: number) => {
    const entry = heard.get(name);
    if (!entry || signal.aborted) return;
    entry.timer = setTimeout(() => look(name), delay);
    entry.timer.unref();
  };
  const look = (name: string) => {
    const entry = heard.get(name);
    if (!entry) return;
    entry.timer = undefined;
    const left = entry.at + grace - performance.now();
    if (left > 0) return arm(name, left);
    const marking = mark(name)
      .catch((error: unknown) => {
        log.warn("silent node could not be marked", { node: name, error });
        arm(name, grace); // tried again
      })
      .finally(() => running.delete(marking));
    running.add(marking);
  };

  const mark = async (name: string) => {
    const node = nodes.items.get(name);
    if (!node) return;
    const conditions = unknownConditions(node);
    if (!conditions) return;
    log.warn("node is silent, marking it", { node: name, milliseconds: grace });
    const next = { ...node, status: { ...node.status, conditions } };
    try {
      await objects.update<Node>({ resource: "nodes", name, subresource: "status" }, next);
    } catch (error) {
      if (!(error instanceof StatusError) || (error.code !== 404 && error.code !== 409)) throw error;
      arm(name, 0); // changed meanwhile: look at what it is now
      return;
    }
    const message = `Node ${name} status is now: NodeNotReady`;
    const action = "MarkNotReady";
    const component = "node-controller";
    await recordEvent(
      { objects, log },
      { ...node, kind: "Node" },
      { type: "Normal", reason: "NodeNotReady", message, action, component },
    );
    await markPods(name);
  };

  const markPods = async (nodeName: string) => {
    const { items } = await objects.list<Pod>({ resource: "pods", fieldSelector: `spec.nodeName=${nodeName}` });
    for (const pod of items) {
      const conditions = pod.status?.conditions ?? [];
      if (!conditions.some(({ type, status }) => type === "Ready" && status === "True")) continue;
      const lastTransitionTime = rfc3339(Date.now());
      const changed = conditions.map((one) =>
        one.type === "Ready" ? { ...one, status: "False", lastTransitionTime } : one,
      );
      const { namespace = "", name = "" } = pod.metadata ?? {};
      await objects
        .update<Pod>(
          { resource: "pods", namespace, name, subresource: "status" },
          { ...pod, status: { ...pod.status, conditions: changed } },
        )
        .catch((error: unknown) => log.warn("pod of a silent node could not be marked", { pod: keyOf(pod), error }));
    }
  };

  const onNode = ({ type, object, previous }: Change<Node>) => {
    const name = keyOf(object);
    if (type === "delete") {
      clearTimeout(heard.get(name)?.timer);
      heard.delete(name);
    } else if (!heard.has(name)) {
      heard.set(name, { at: performance.now(), timer: undefined });
      arm(name, grace);
    } else if (heartbeatOf(object) !== heartbeatOf(previous)) {
      hear(name);
    }
  };
  const onLease = ({ type, object, previous }: Change<Lease>) => {
    if (type === "set" && object.spec?.renewTime !== previous?.spec?.renewTime) hear(object.metadata?.name ?? "");
  };
  const nodes = follow<Node>(objects, { resource: "nodes" }, { signal, log, onChange: onNode });
  const what = { group: "coordination.k8s.io", resource: "leases", namespace: leaseNamespace };
  const leases = follow<Lease>(objects, what, { signal, log, onChange: onLease });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const { timer } of heard.values()) clearTimeout(timer);
      await Promise.all([nodes.ended, leases.ended, ...running]);
    },
  };
}

/** The kubelet's own sign of life in the status, besides the lease. Ours in it does not count. */
function heartbeatOf(node: Node | undefined): string | undefined {
  const ready = node?.status?.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "Unknown" ? undefined : ready?.lastHeartbeatTime;
}

/** Undefined when nothing would change. */
function unknownConditions({ status }: Node): NodeCondition[] | undefined {
  const conditions = status?.conditions ?? [];
  const at = rfc3339(Date.now());
  let changed = false;
  const known = conditions.map((condition): NodeCondition => {
    if (!conditionTypes.includes(condition.type) || condition.status === "Unknown") return condition;
    changed = true;
    const message = "Kubelet stopped posting node status.";
    return { ...condition, status: "Unknown", reason: "NodeStatusUnknown", message, lastTransitionTime: at };
  });
  if (!known.some(({ type }) => type === "Ready")) {
    changed = true;
    const message = "Kubelet never posted node status.";
    known.push({ type: "Ready", status: "Unknown", reason: "NodeStatusNeverUpdated", message, lastTransitionTime: at });
  }
  return changed ? known : undefined;
}
