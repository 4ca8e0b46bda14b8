import { type Container, formatQuantity, parseQuantity, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { expand } from "./expand.ts";
import type { BoundPod } from "./pod.ts";
import { ContainerConfigError } from "./security.ts";

export interface PodFacts {
  podIPs: string[];
  hostIP: string;
  nodeName: string;
  /** What the node can give, in base units: a missing limit is told as this. */
  allocatable: { cpu: number; memory: number; "ephemeral-storage": number };
}

/**
 * A container's environment, references resolved and `$(NAME)` expanded, in the pod's order.
 *
 * Throws ContainerConfigError for a reference that leads nowhere.
 * Source: kubernetes pkg/kubelet/kubelet_pods.go makeEnvironmentVariables
 */
export async function environment(
  { client }: { client: Pick<KubeClient, "get"> },
  pod: BoundPod,
  container: Container,
  facts: PodFacts,
): Promise<Map<string, string>> {
  const result = new Map<string, string>();
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const kind = configMapRef ? "configmaps" : "secrets";
    const ref = configMapRef ?? secretRef;
    if (!ref?.name) continue;
    const data = await objectData({ client }, { kind, namespace: pod.metadata.namespace, name: ref.name });
    if (!data && !ref.optional) throw missing(kind, ref.name);
    for (const [key, value] of Object.entries(data ?? {})) result.set(prefix + key, value.toString());
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (!valueFrom) {
      result.set(
        name,
        expand(value ?? "", (known) => result.get(known)),
      );
      continue;
    }
    const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
    if (fieldRef) result.set(name, fieldValue(pod, fieldRef.fieldPath, facts));
    else if (resourceFieldRef) result.set(name, resourceValue(pod, container, resourceFieldRef, facts));
    else if (configMapKeyRef || secretKeyRef) {
      const kind = configMapKeyRef ? "configmaps" : "secrets";
      const ref = configMapKeyRef ?? secretKeyRef;
      const data = await objectData({ client }, { kind, namespace: pod.metadata.namespace, name: ref?.name ?? "" });
      const found = data?.[ref?.key ?? ""];
      if (found !== undefined) result.set(name, found.toString());
      else if (!ref?.optional) {
        if (!data) throw missing(kind, ref?.name ?? "");
        throw new ContainerConfigError(
          `couldn't find key ${ref?.key} in ${kindText(kind)} ${pod.metadata.namespace}/${ref?.name}`,
        );
      }
    } else throw new ContainerConfigError(`env ${name}: this kind of valueFrom is not supported`);
  }
  return result;
}

/** A ConfigMap's or Secret's data; undefined when there is no such object. */
export async function objectData(
  { client }: { client: Pick<KubeClient, "get"> },
  { kind, namespace, name }: { kind: "configmaps" | "secrets"; namespace: string; name: string },
): Promise<Record<string, Buffer> | undefined> {
  interface Holder {
    data?: Record<string, string>;
    binaryData?: Record<string, string>;
  }
  try {
    const object = (await client.get({ resource: kind, namespace, name })) as Holder;
    if (kind === "secrets") return buffers(object.data, "base64");
    return { ...buffers(object.data, "utf8"), ...buffers(object.binaryData, "base64") };
  } catch (error) {
    if (error instanceof StatusError && error.code === 404) return undefined;
    throw error;
  }
}

function buffers(data: Record<string, string> = {}, encoding: BufferEncoding): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)]));
}

function missing(kind: "configmaps" | "secrets", name: string): ContainerConfigError {
  return new ContainerConfigError(`${kindText(kind).toLowerCase()} "${name}" not found`);
}

function kindText(kind: "configmaps" | "secrets"): string {
  return kind === "configmaps" ? "ConfigMap" : "Secret";
}

/** What a downward-API path stands for. Throws ContainerConfigError for one that is not supported. */
export function fieldValue(pod: BoundPod, fieldPath: string, facts: PodFacts): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (subscript) {
    const [, map, key = ""] = subscript;
    return metadata[map as "labels" | "annotations"]?.[key] ?? "";
  }
  const values: Record<string, () => string> = {
    "metadata.name": () => metadata.name,
    "metadata.namespace": () => metadata.namespace,
    "metadata.uid": () => metadata.uid,
    "metadata.labels": () => lines(metadata.labels),
    "metadata.annotations": () => lines(metadata.annotations),
    "spec.nodeName": () => facts.nodeName,
    "spec.serviceAccountName": () => spec.serviceAccountName ?? "",
    "status.hostIP": () => facts.hostIP,
    "status.hostIPs": () => facts.hostIP,
    "status.podIP": () => facts.podIPs[0] ?? "",
    "status.podIPs": () => facts.podIPs.join(","),
  };
  const value = values[fieldPath];
  if (!value) throw new ContainerConfigError(`unsupported fieldPath: ${fieldPath}`);
  return value();
}

/** `key="value"` per line, sorted, as the downward API writes a map. */
function lines(map: Record<string, string> = {}): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** A container's request or limit in units of the divisor, rounded up. */
export function resourceValue(
  pod: BoundPod,
  container: Container,
  ref: { resource: string; divisor?: string; containerName?: string },
  { allocatable }: PodFacts,
): string {
  const of = ref.containerName
    ? (pod.spec.containers.find(({ name }) => name === ref.containerName) ?? container)
    : container;
  const [, kind, name] = /^(limits|requests)\.(cpu|memory|ephemeral-storage)$/.exec(ref.resource) ?? [];
  if (!name) throw new ContainerConfigError(`unsupported container resource : ${ref.resource}`);
  const { limits, requests } = of.resources ?? {};
  const given = kind === "limits" ? limits?.[name] : requests?.[name];
  const fallback = kind === "limits" ? allocatable[name as keyof typeof allocatable] : 0;
  const amount = given === undefined ? fallback : parseQuantity(String(given));
  const divisor = parseQuantity(ref.divisor && ref.divisor !== "0" ? ref.divisor : "1");
  return formatPlain(Math.ceil(Number((amount / divisor).toPrecision(15))));
}

function formatPlain(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : formatQuantity(value);
}
