import type { Node, Pod } from "@hawser/api";
import { type Change, keyOf } from "../follow.ts";
import type { NodeState } from "./filter.ts";
import { add, hostPorts, podRequests } from "./requests.ts";

/**
 * The nodes and what their pods take of them, kept up to date change by change. A pod counts from the moment it is placed here,
 * before the store has told of it.
 */
export class ClusterState {
  readonly #nodes = new Map<string, Node>();
  readonly #podsByNode = new Map<string, Map<string, Pod>>();
  readonly #nodeOfPod = new Map<string, string>();

  setNode(node: Node): void {
    this.#nodes.set(keyOf(node), node);
  }

  removeNode(node: Node): void {
    this.#nodes.delete(keyOf(node));
  }

  /** Counts the pod on `nodeName`, and nowhere else. */
  place(pod: Pod, nodeName: string): void {
    this.remove(pod);
    const key = keyOf(pod);
    const pods = this.#podsByNode.get(nodeName) ?? new Map<string, Pod>();
    this.#podsByNode.set(nodeName, pods.set(key, pod));
    this.#nodeOfPod.set(key, nodeName);
  }

  /** True when the pod was counted. */
  remove(pod: Pod): boolean {
    const key = keyOf(pod);
    const nodeName = this.#nodeOfPod.get(key);
    if (nodeName === undefined) return false;
    this.#nodeOfPod.delete(key);
    const pods = this.#podsByNode.get(nodeName);
    if (pods?.delete(key) && pods.size === 0) this.#podsByNode.delete(nodeName);
    return true;
  }

  isPlaced(pod: Pod): boolean {
    return this.#nodeOfPod.has(keyOf(pod));
  }

  nodes(): NodeState[] {
    return [...this.#nodes].map(([name, node]) => {
      const pods = [...(this.#podsByNode.get(name)?.values() ?? [])];
      const requested = {};
      for (const pod of pods) add(requested, podRequests(pod));
      return {
        node,
        requested,
        podCount: pods.length,
        ports: pods.flatMap(({ spec }) => (spec ? hostPorts(spec) : [])),
      };
    });
  }
}

/** Whether a change of a node can matter to a pod that found no place: heartbeats cannot. */
export function mattersToPods({ object, previous, type }: Change<Node>): boolean {
  if (type === "delete" || !previous) return true;
  return relevant(object) !== relevant(previous);
}

function relevant({ metadata, spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  return JSON.stringify([metadata?.labels, spec?.unschedulable, spec?.taints, status?.allocatable, ready]);
}

/** A pod that is over holds nothing of its node. */
export function isOver({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}
