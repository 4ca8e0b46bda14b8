import type { Node, Pod } from "@hawser/api";
import type { NodeSelectorTerm, Taint, Toleration } from "kubernetes-types/core/v1.js";
import { matchesExpression } from "../object-selector.ts";
import { type Amounts, amounts, type HostPort, hostPorts, podRequests, portsConflict } from "./requests.ts";

/** A node and what is taken of it. */
export interface NodeState {
  node: Node;
  requested: Amounts;
  podCount: number;
  ports: HostPort[];
}

/** Why a node is not for a pod; `helped` when fewer pods on it would change that. */
export interface Misfit {
  reasons: string[];
  helped: boolean;
}

/**
 * Whether a pod can run on a node: undefined when it can, else the reasons of the first check that said no, in the real scheduler's order and words.
 *
 * Source: kubernetes/kubernetes pkg/scheduler/framework/plugins/{nodeunschedulable,tainttoleration,nodeaffinity,nodeports,noderesources}
 */
export function misfit(pod: Pod, state: NodeState): Misfit | undefined {
  const { node } = state;
  const tolerations = pod.spec?.tolerations ?? [];
  if (node.spec?.unschedulable && !tolerates(tolerations, unschedulable)) return never("node(s) were unschedulable");
  const taint = taintsOf(node).find((one) => one.effect !== "PreferNoSchedule" && !tolerates(tolerations, one));
  if (taint) return never(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`);
  if (!matchesSelectors(pod, node)) return never("node(s) didn't match Pod's node affinity/selector");
  const wanted = pod.spec ? hostPorts(pod.spec) : [];
  if (wanted.some((port) => state.ports.some((taken) => portsConflict(port, taken)))) {
    return { reasons: ["node(s) didn't have free ports for the requested pod ports"], helped: true };
  }
  return lacking(pod, state);
}

const unschedulable: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** The node's own taints, and those its condition stands for: a node that is not ready takes no pods. */
function taintsOf({ spec, status }: Node): Taint[] {
  const own = spec?.taints ?? [];
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  if (ready === "True") return own;
  const key = ready === "Unknown" ? "node.kubernetes.io/unreachable" : "node.kubernetes.io/not-ready";
  return own.some((taint) => taint.key === key) ? own : [...own, { key, effect: "NoSchedule" }];
}

/** Source: kubernetes/api core/v1/toleration.go */
function tolerates(tolerations: Toleration[], taint: Taint): boolean {
  return tolerations.some(({ key = "", operator = "Equal", value = "", effect = "" }) => {
    if (effect !== "" && effect !== taint.effect) return false;
    if (key !== "" && key !== taint.key) return false;
    if (operator === "Exists") return true;
    return operator === "Equal" && key !== "" && value === (taint.value ?? "");
  });
}

function matchesSelectors({ spec }: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  if (!Object.entries(spec?.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => matchesTerm(term, node));
}

/** A term without requirements matches nothing. */
function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, { metadata }: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = { "metadata.name": metadata?.name ?? "" };
  return (
    matchExpressions.every((expression) => matchesExpression(expression, metadata?.labels ?? {})) &&
    matchFields.every((expression) => matchesExpression(expression, fields))
  );
}

function lacking(pod: Pod, { node, requested, podCount }: NodeState): Misfit | undefined {
  const allocatable = amounts(node.status?.allocatable as Record<string, string> | undefined);
  const reasons: string[] = [];
  let helped = true;
  if (podCount + 1 > (allocatable.pods ?? 0)) reasons.push("Too many pods");
  for (const [name, wanted] of Object.entries(podRequests(pod))) {
    const all = allocatable[name] ?? 0;
    if (wanted <= 0 || wanted <= all - (requested[name] ?? 0) + 1e-9) continue;
    reasons.push(`Insufficient ${name}`);
    if (wanted > all) helped = false;
  }
  return reasons.length > 0 ? { reasons, helped } : undefined;
}

function never(reason: string): Misfit {
  return { reasons: [reason], helped: false };
}

/**
 * Why none of the nodes will do, as people know it: `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: …`.
 *
 * Source: kubernetes/kubernetes pkg/scheduler/framework/types.go FitError
 */
export function unschedulableMessage(misfits: Misfit[]): string {
  if (misfits.length === 0) return "no nodes available to schedule pods";
  const none = `0/${misfits.length} nodes are available: `;
  // What would be helped by making room is not looked for: this scheduler does not preempt, and all priorities are alike.
  const preemption = misfits.map(({ helped }) =>
    helped ? "No preemption victims found for incoming pod" : "Preemption is not helpful for scheduling",
  );
  return `${none}${counted(misfits.flatMap(({ reasons }) => reasons))}. preemption: ${none}${counted(preemption)}.`;
}

function counted(reasons: string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(", ");
}

/** What a pod asks of its place that this scheduler cannot give; undefined when nothing. */
export function unsupported({ spec }: Pod): string | undefined {
  const { podAffinity, podAntiAffinity } = spec?.affinity ?? {};
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  if (podAffinity?.[required]?.length) return "required pod affinity is not implemented by this scheduler";
  if (podAntiAffinity?.[required]?.length) return "required pod anti-affinity is not implemented by this scheduler";
  if (spec?.topologySpreadConstraints?.some(({ whenUnsatisfiable }) => whenUnsatisfiable === "DoNotSchedule")) {
    return "topology spread constraints are not implemented by this scheduler";
  }
  if (spec?.resourceClaims?.length) return "resource claims are not implemented by this scheduler";
  const claim = spec?.volumes?.find(({ persistentVolumeClaim }) => persistentVolumeClaim)?.persistentVolumeClaim;
  return claim && `persistentvolumeclaim ${JSON.stringify(claim.claimName)} not found`;
}

/**
 * How empty a node would be with the pod on it, from 0 to 1: the emptier the better. Pods that ask for nothing count a little, so that they spread.
 *
 * Source: kubernetes/kubernetes pkg/scheduler/framework/plugins/noderesources/least_allocated.go
 */
export function emptiness(pod: Pod, { node, requested, podCount }: NodeState): number {
  const allocatable = amounts(node.status?.allocatable as Record<string, string> | undefined);
  const wanted = podRequests(pod);
  const free = ["cpu", "memory"].map((name) => {
    const all = allocatable[name] ?? 0;
    return all > 0 ? Math.max(0, (all - (requested[name] ?? 0) - (wanted[name] ?? 0)) / all) : 0;
  });
  const pods = 1 - podCount / Math.max(1, allocatable.pods ?? 1);
  return (free.reduce((sum, value) => sum + value, 0) / free.length) * 0.9 + Math.max(0, pods) * 0.1;
}
