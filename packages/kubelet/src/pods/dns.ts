import type { PodSpec } from "@hawser/api";
import type { DNSConfigSchema, MessageInitShape } from "@hawser/cri";

export interface ResolvConf {
  servers: string[];
  searches: string[];
  options: string[];
}

/** Reads resolv.conf's text. Of several `search` lines the last counts. */
export function parseResolvConf(text: string): ResolvConf {
  const result: ResolvConf = { servers: [], searches: [], options: [] };
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && words[0]) result.servers.push(words[0]);
    else if (keyword === "search") result.searches = words.filter((word) => word !== ".");
    else if (keyword === "options") result.options = words;
  }
  return result;
}

export interface DNSSettings {
  /** The node's own resolv.conf. */
  host: ResolvConf;
  clusterDNS: string[];
  clusterDomain: string;
}

/**
 * What goes into a pod's resolv.conf. Without a cluster DNS server, ClusterFirst means the node's settings.
 *
 * Source: kubernetes pkg/kubelet/network/dns/dns.go
 */
export function podDNS(
  spec: PodSpec,
  namespace: string,
  { host, clusterDNS, clusterDomain }: DNSSettings,
): MessageInitShape<typeof DNSConfigSchema> {
  const policy = spec.dnsPolicy ?? "ClusterFirst";
  const cluster = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !spec.hostNetwork);
  let base: ResolvConf = host;
  if (policy === "None") base = { servers: [], searches: [], options: [] };
  else if (cluster && clusterDNS.length > 0) {
    const own = clusterDomain ? [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain] : [];
    base = { servers: clusterDNS, searches: [...own, ...host.searches], options: ["ndots:5"] };
  }
  const extra = spec.dnsConfig ?? {};
  const options = new Map(base.options.map((option) => [option.split(":")[0], option]));
  for (const { name = "", value } of extra.options ?? []) options.set(name, value ? `${name}:${value}` : name);
  return {
    servers: unique([...base.servers, ...(extra.nameservers ?? [])]),
    searches: unique([...base.searches, ...(extra.searches ?? [])]),
    options: [...options.values()],
  };
}

function unique(values: string[]): string[] {
  return [...new Set(values)];
}
