import { type KubernetesObject, type Pod, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { CommandError } from "../errors.ts";
import { whatIsMissing } from "./objects.ts";
import { findType, isUnservedPath, noSuchType, type ResourceType } from "./resources.ts";
import { readPair } from "./targets.ts";

export interface PodQuery {
  /** `POD`, `TYPE/NAME`, or what that says. */
  word: string | { type: ResourceType; name: string };
  namespace: string;
  /** Milliseconds to wait for a pod where none exists yet. */
  timeoutMs: number;
  /** What for: `attach to`, `get the logs from`. */
  purpose: string;
  signal: AbortSignal;
}

export interface FoundPods {
  /** The object that was named: a pod, or what selects pods. */
  object: KubernetesObject;
  type: ResourceType;
  /** Best one first; at least one. */
  pods: [Pod, ...Pod[]];
}

/** The pod that is named, or the pods that belong to the object named, waiting for the first one. */
export async function findPods(client: KubeClient, query: PodQuery): Promise<FoundPods> {
  const { type, name } = typeof query.word === "string" ? await reading(client, query.word) : query.word;
  const namespace = type.namespaced ? query.namespace : undefined;
  const object = await client
    .get<KubernetesObject>({ ...type, ...(namespace && { namespace }), name }, { signal: query.signal })
    .catch(async (error: unknown) => {
      if (isUnservedPath(error)) throw noSuchType(type.asked ?? type.resource);
      throw await whatIsMissing(client, { namespace, error, signal: query.signal });
    });
  if (type.kind === "Pod") return { object, type, pods: [object as Pod] };
  const labelSelector = selectorOf(object, type, query.purpose);
  const pods = await podsOf(client, { ...query, labelSelector });
  return { object, type, pods };
}

async function reading(client: KubeClient, word: string): Promise<{ type: ResourceType; name: string }> {
  if (word.includes("/")) return await readPair(client, word);
  if (word === "") throw new CommandError("resource name may not be empty");
  return { type: await findType(client, "pods"), name: word };
}

interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

const selecting = new Set([
  "Deployment",
  "ReplicaSet",
  "StatefulSet",
  "DaemonSet",
  "Job",
  "ReplicationController",
  "Service",
]);

function selectorOf(object: KubernetesObject, { kind }: ResourceType, purpose: string): string {
  if (!selecting.has(kind))
    throw new CommandError(`cannot ${purpose} *v1.${kind}: selector for *v1.${kind} not implemented`);
  const { spec } = object as { spec?: { selector?: LabelSelector | Record<string, string> } }; // as all of `selecting` have it
  const selector = spec?.selector ?? {};
  if (kind === "Service" && Object.keys(selector).length === 0) {
    throw new CommandError(
      `cannot ${purpose} *v1.Service: invalid service '${object.metadata?.name}': Service is defined without a selector`,
    );
  }
  if (kind === "Service" || kind === "ReplicationController") return labels(selector as Record<string, string>);
  const { matchLabels = {}, matchExpressions = [] } = selector as LabelSelector;
  return [labels(matchLabels), ...matchExpressions.map(requirement)].filter(Boolean).join(",");
}

function labels(pairs: Record<string, string>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

function requirement({ key, operator, values = [] }: { key: string; operator: string; values?: string[] }): string {
  if (operator === "Exists") return key;
  if (operator === "DoesNotExist") return `!${key}`;
  return `${key} ${operator.toLowerCase()} (${values.join(",")})`;
}

async function podsOf(
  client: KubeClient,
  { namespace, labelSelector, timeoutMs, signal }: PodQuery & { labelSelector: string },
): Promise<[Pod, ...Pod[]]> {
  const ref = { resource: "pods", namespace };
  const list = await client.list<Pod>(ref, { labelSelector, signal });
  const [first, ...more] = list.items.sort(byUse);
  if (first) return [first, ...more];
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  for await (const event of client.watch<Pod>(ref, {
    labelSelector,
    resourceVersion: list.metadata.resourceVersion,
    signal: limit,
  })) {
    if (event.type === "ERROR") throw new StatusError(event.object);
    if (event.type === "ADDED" || event.type === "MODIFIED") return [event.object];
  }
  signal.throwIfAborted();
  throw new CommandError("timed out waiting for the condition");
}

/** The pod most likely to answer first: on a node, running, ready, longest so. Source: kubectl pkg/util/podutils ActivePods */
function byUse(a: Pod, b: Pod): number {
  for (const rank of [isAssigned, phaseRank, isReady]) {
    const difference = rank(b) - rank(a);
    if (difference !== 0) return difference;
  }
  return (a.metadata?.creationTimestamp ?? "") < (b.metadata?.creationTimestamp ?? "") ? -1 : 1;
}

function isAssigned({ spec }: Pod): number {
  return spec?.nodeName ? 1 : 0;
}

function phaseRank({ status }: Pod): number {
  return ["Pending", "Unknown", "Running"].indexOf(status?.phase ?? "");
}

function isReady({ status }: Pod): number {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ? 1 : 0;
}
