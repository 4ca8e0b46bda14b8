import type { PodSpec } from "@hawser/api";

/**
 * The text of a pod's /etc/hosts.
 *
 * Source: kubernetes pkg/kubelet/kubelet_pods.go
 */
export function hostsFile(
  spec: PodSpec,
  pod: { ips: string[]; hostname: string; domain?: string | undefined; nodeHosts: string },
): string {
  const lines: string[] = [];
  if (spec.hostNetwork) {
    lines.push("# Kubernetes-managed hosts file (host network).", pod.nodeHosts.trimEnd());
  } else {
    lines.push(
      "# Kubernetes-managed hosts file.",
      "127.0.0.1\tlocalhost",
      "::1\tlocalhost ip6-localhost ip6-loopback",
      "fe00::0\tip6-localnet",
      "fe00::0\tip6-mcastprefix",
      "fe00::1\tip6-allnodes",
      "fe00::2\tip6-allrouters",
    );
    const names = pod.domain ? `${pod.hostname}.${pod.domain}\t${pod.hostname}` : pod.hostname;
    for (const ip of pod.ips) lines.push(`${ip}\t${names}`);
  }
  const aliases = spec.hostAliases ?? [];
  if (aliases.length > 0) {
    lines.push("", "# Entries added by HostAliases.");
    for (const { ip, hostnames = [] } of aliases) lines.push(`${ip}\t${hostnames.join("\t")}`);
  }
  return `${lines.join("\n")}\n`;
}
