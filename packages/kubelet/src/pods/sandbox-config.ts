import path from "node:path";
import { type QOSClass, qosClass } from "@hawser/api";
import { type MessageInitShape, type PodSandboxConfigSchema, Protocol } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { podDNS } from "./dns.ts";
import { podLabels, sandboxAnnotations } from "./labels.ts";
import { podLogFolder } from "./paths.ts";
import type { BoundPod } from "./pod.ts";
import { sandboxSecurity } from "./security.ts";

export type SandboxConfig = MessageInitShape<typeof PodSandboxConfigSchema>;

/** What RunPodSandbox is asked for. `attempt` counts the pod's sandboxes, from 0. */
export function sandboxConfig(
  { settings, folders, dns, cgroupDriver }: Pick<KubeletContext, "settings" | "folders" | "dns" | "cgroupDriver">,
  pod: BoundPod,
  attempt: number,
): SandboxConfig {
  const { metadata, spec } = pod;
  const sysctls = (spec.securityContext?.sysctls ?? []).map(({ name, value }) => [name.replaceAll("/", "."), value]);
  return {
    metadata: { name: metadata.name, namespace: metadata.namespace, uid: metadata.uid, attempt },
    // On the host network it keeps the node's own: there is no UTS namespace to set it in.
    hostname: spec.hostNetwork ? "" : podHostname(pod),
    logDirectory: podLogFolder(folders, pod),
    dnsConfig: podDNS(spec, metadata.namespace, dns),
    portMappings: portMappings(pod),
    labels: podLabels(pod),
    annotations: sandboxAnnotations(pod),
    linux: {
      cgroupParent: cgroupParent(pod, { driver: cgroupDriver, root: settings.cgroupRoot }),
      securityContext: sandboxSecurity(pod, settings),
      sysctls: Object.fromEntries(sysctls),
    },
  };
}

/** The pod's hostname: its spec's, else its name; at most 63 characters, as the kernel allows. */
export function podHostname({ metadata, spec }: BoundPod): string {
  return (spec.hostname || metadata.name).slice(0, 63).replace(/[-.]+$/, "");
}

/** `sub.namespace.svc.cluster.local` when the pod has a subdomain. */
export function podDomain({ metadata, spec }: BoundPod, clusterDomain: string): string | undefined {
  return spec.subdomain ? `${spec.subdomain}.${metadata.namespace}.svc.${clusterDomain}` : undefined;
}

function portMappings({ spec }: BoundPod) {
  if (spec.hostNetwork) return []; // its ports are the node's already
  const ports = [...(spec.initContainers ?? []), ...spec.containers].flatMap((container) => container.ports ?? []);
  const protocols: Record<string, Protocol> = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP };
  return ports.map(({ containerPort, hostPort = 0, hostIP = "", protocol = "TCP" }) => {
    return { containerPort, hostPort, hostIp: hostIP, protocol: protocols[protocol] ?? Protocol.TCP };
  });
}

const qosFolders: Record<QOSClass, string> = { Guaranteed: "", Burstable: "burstable", BestEffort: "besteffort" };

/**
 * `/kubepods/burstable/pod<uid>`, or with systemd `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice`.
 * The root comes before both; with systemd as a part of the slices' names, since they say where a slice is.
 *
 * Source: kubernetes pkg/kubelet/cm/cgroup_manager_linux.go
 */
export function cgroupParent(
  pod: BoundPod,
  { driver, root }: { driver: "cgroupfs" | "systemd"; root: string },
): string {
  const parts = ["kubepods", qosFolders[qosClass(pod.spec)], `pod${pod.metadata.uid}`].filter(Boolean);
  if (driver === "cgroupfs") return path.join("/", root, ...parts);
  return slicePath([...root.split("/").filter(Boolean), ...parts]);
}

/** `/a.slice/a-b.slice` for a and b, where a dash is written as an underscore. */
export function slicePath(names: string[]): string {
  const escaped = names.map((name) => name.replaceAll("-", "_"));
  return `/${escaped.map((_, index) => `${escaped.slice(0, index + 1).join("-")}.slice`).join("/")}`;
}
