import { Code, CRIError, type PodSandboxConfig } from "@hawser/cri";
import type { PortMapping } from "../store/records.ts";
import type { NetworkList } from "./list.ts";

/** What a burst may be where an annotation gives the rate alone, bits: as with containerd, none. */
const noBurst = 0xffffffff;
/** Least and most of a rate, bits a second. Source: containerd internal/cri/bandwidth/utils.go */
const [leastRate, mostRate] = [1e3, 1e15];

/**
 * What the plugins of a network want to be told of a pod, by the names they ask with. Throws InvalidArgument for an annotation that
 * is no bandwidth.
 *
 * Source: containernetworking/cni CONVENTIONS.md; containerd internal/cri/server/sandbox_run.go
 */
export function capabilitiesOf(
  { plugins }: NetworkList,
  { annotations, dnsConfig, linux }: PodSandboxConfig,
  portMappings: PortMapping[],
): Record<string, unknown> {
  const known = {
    portMappings: portMappings.length > 0 ? portMappings : undefined,
    bandwidth: bandwidthOf(annotations),
    dns: dnsConfig && { servers: dnsConfig.servers, searches: dnsConfig.searches, options: dnsConfig.options },
    cgroupPath: linux?.cgroupParent || undefined,
    "io.kubernetes.cri.pod-annotations": Object.keys(annotations).length > 0 ? annotations : undefined,
  };
  const isWanted = (name: string) => plugins.some(({ capabilities }) => capabilities?.[name]);
  return Object.fromEntries(Object.entries(known).filter(([name, value]) => value !== undefined && isWanted(name)));
}

function bandwidthOf(annotations: Record<string, string>): Record<string, number> | undefined {
  const ingressRate = rateOf(annotations, "kubernetes.io/ingress-bandwidth");
  const egressRate = rateOf(annotations, "kubernetes.io/egress-bandwidth");
  if (ingressRate === undefined && egressRate === undefined) return undefined;
  return {
    ...(ingressRate !== undefined && { ingressRate, ingressBurst: noBurst }),
    ...(egressRate !== undefined && { egressRate, egressBurst: noBurst }),
  };
}

function rateOf(annotations: Record<string, string>, name: string): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const rate = quantityOf(text);
  if (rate >= leastRate && rate <= mostRate) return rate; // NaN is neither
  throw new CRIError(
    Code.InvalidArgument,
    `annotation ${name} is no bandwidth from 1k to 1P: ${JSON.stringify(text.slice(0, 80))}`,
  );
}

/** A quantity of Kubernetes, rounded up; NaN for what is none. Source: k8s.io/apimachinery pkg/api/resource/quantity.go */
function quantityOf(text: string): number {
  const [, number, exponent, suffix = ""] =
    /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i))?$/.exec(text) ?? [];
  if (number === undefined) return Number.NaN;
  const power = "numkMGTPE".indexOf(suffix);
  const scale = suffix.endsWith("i")
    ? 1024 ** (1 + "KMGTPE".indexOf(suffix.charAt(0)))
    : suffix === ""
      ? 1
      : 1000 ** (power - (power < 3 ? 3 : 2));
  return Math.ceil(Number(`${number}${exponent ?? ""}`) * scale);
}
