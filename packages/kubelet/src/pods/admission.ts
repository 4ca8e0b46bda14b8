import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type Pod, rfc3339, StatusError } from "@hawser/api";
import type { KubeletContext } from "../context.ts";
import { type BoundPod, podContainers } from "./pod.ts";
import { firstPause, longestPause } from "./status-pusher.ts";
import { involved } from "./worker-events.ts";

/** Why a pod is not taken; its status says so, and it has failed. */
export interface Rejection {
  reason: string;
  message: string;
}

/**
 * What this kubelet cannot do is refused by name before anything of the pod starts, rather than left out of it.
 *
 * Source: kubernetes pkg/kubelet/lifecycle/predicate.go, for the words of OutOfpods; pkg/security/apparmor/validate.go
 */
export function reject(
  pod: BoundPod,
  { active, maxPods, appArmor }: { active: number; maxPods: number; appArmor: boolean },
): Rejection | undefined {
  if (active >= maxPods) {
    const message = `Node didn't have enough resource: pods, requested: 1, used: ${active}, capacity: ${maxPods}`;
    return { reason: "OutOfpods", message };
  }
  if (!appArmor && asksForAppArmor(pod)) {
    return { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" };
  }
  const missing = unsupported(pod);
  if (missing.length === 0) return undefined;
  return { reason: "PodFeatureUnsupported", message: `Not supported by this kubelet: ${missing.join(", ")}` };
}

/** Does the node's kernel confine by AppArmor? */
export async function hasAppArmor(): Promise<boolean> {
  return (await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N")).startsWith("Y");
}

function asksForAppArmor(pod: BoundPod): boolean {
  const contexts = [pod.spec.securityContext, ...podContainers(pod).map(({ container }) => container.securityContext)];
  return contexts.some((one) => one?.appArmorProfile && one.appArmorProfile.type !== "Unconfined");
}

function unsupported(pod: BoundPod): string[] {
  const { spec } = pod;
  const found: string[] = [];
  if (spec.hostUsers === false) found.push("spec.hostUsers: false");
  if (spec.setHostnameAsFQDN) found.push("spec.setHostnameAsFQDN");
  if ((spec.resourceClaims ?? []).length > 0) found.push("spec.resourceClaims");
  if (spec.os?.name === "windows") found.push("spec.os.name: windows");
  for (const { container } of podContainers(pod)) {
    const where = `container ${container.name}:`;
    if ((container.volumeDevices ?? []).length > 0) found.push(`${where} volumeDevices`);
    const amounts = { ...container.resources?.limits, ...container.resources?.requests };
    const known = ["cpu", "memory", "ephemeral-storage"];
    for (const name of Object.keys(amounts)) if (!known.includes(name)) found.push(`${where} resource ${name}`);
    const probes = [container.livenessProbe, container.readinessProbe, container.startupProbe];
    if (probes.some((probe) => probe?.grpc)) found.push(`${where} gRPC probes`);
  }
  return found;
}

/** Tells the API server that the pod has failed, and why: again and again until it takes that, the pod is gone, or `signal` is aborted. */
export async function tellRejected(
  { client, events, log, now }: Pick<KubeletContext, "client" | "events" | "log" | "now">,
  pod: BoundPod,
  { reason, message }: Rejection,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  const text = `Pod was rejected: ${message}`;
  events.record(involved(pod), "Warning", reason, message);
  const status = {
    phase: "Failed",
    reason,
    message: text,
    startTime: rfc3339(now()),
  };
  const ref = { resource: "pods", namespace, name, subresource: "status" };
  for (let pause = firstPause; !signal.aborted; pause = Math.min(pause * 2, longestPause)) {
    try {
      await client.patch<Pod>(ref, { metadata: { uid }, status }, { type: "strategic", signal });
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof StatusError && (error.code === 404 || error.code === 409)) return; // gone, or another pod has its name by now
      if (pause === firstPause) log.warn("rejection not told yet", { pod: name, reason, error });
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Has this pod ended, by its own account in the API? */
export function hasEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}
