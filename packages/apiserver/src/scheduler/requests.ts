import { type Container, type Pod, type PodSpec, parseQuantity } from "@hawser/api";

/** Amounts by resource name, in base units: cores, bytes. */
export type Amounts = Record<string, number>;

/**
 * What a pod asks of its node. Init containers run one after another, so the greatest counts, together with the sidecars started before it.
 *
 * Source: kubernetes/component-helpers resource/helpers.go
 */
export function podRequests({ spec }: Pod): Amounts {
  if (!spec) return {};
  const running: Amounts = {};
  const sidecars: Amounts = {};
  const starting: Amounts = {};
  for (const container of spec.containers) add(running, requestsOf(container));
  for (const container of spec.initContainers ?? []) {
    if (container.restartPolicy === "Always") {
      add(running, requestsOf(container));
      add(sidecars, requestsOf(container));
      raise(starting, sidecars);
    } else {
      raise(starting, add({ ...sidecars }, requestsOf(container)));
    }
  }
  raise(running, starting);
  return add(running, amounts(spec.overhead));
}

/** Host ports a pod takes, as `PROTOCOL IP PORT`. */
export function hostPorts({ containers, initContainers = [] }: PodSpec): HostPort[] {
  return [...containers, ...initContainers].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP = "", protocol = "TCP" }) =>
      hostPort ? [{ port: hostPort, ip: hostIP, protocol }] : [],
    ),
  );
}

export interface HostPort {
  port: number;
  /** Empty or 0.0.0.0 is every address. */
  ip: string;
  protocol: string;
}

export function portsConflict(a: HostPort, b: HostPort): boolean {
  const everywhere = (ip: string) => ip === "" || ip === "0.0.0.0" || ip === "::";
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || everywhere(a.ip) || everywhere(b.ip));
}

export function amounts(quantities: Record<string, string> | undefined): Amounts {
  return Object.fromEntries(Object.entries(quantities ?? {}).map(([name, text]) => [name, parseQuantity(text)]));
}

export function add(sum: Amounts, more: Amounts): Amounts {
  for (const [name, value] of Object.entries(more)) sum[name] = (sum[name] ?? 0) + value;
  return sum;
}

function raise(floor: Amounts, other: Amounts): void {
  for (const [name, value] of Object.entries(other)) floor[name] = Math.max(floor[name] ?? 0, value);
}

function requestsOf({ resources }: Container): Amounts {
  return amounts(resources?.requests as Record<string, string> | undefined);
}
