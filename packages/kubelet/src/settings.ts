import os from "node:os";
import path from "node:path";
import { parseQuantity } from "@hawser/api";

/** Everything an operator may set. Durations in milliseconds, sizes in bytes. */
export interface KubeletSettings {
  nodeName: string;
  address: string;
  port: number;
  /** Empty: found by the machine's routes. */
  nodeIP: string;
  rootDir: string;
  /** Empty: /var/log/pods, or below another root folder. */
  podLogsDir: string;
  runtimeEndpoint: string;
  clusterDNS: string[];
  clusterDomain: string;
  resolvConf: string;
  maxPods: number;
  containerLogMaxSize: number;
  containerLogMaxFiles: number;
  /** Where the pods' cgroups begin: `/`, or `/some/place`. */
  cgroupRoot: string;
  /** Asked of the runtime where it says; this is for runtimes that do not. */
  cgroupDriver: "cgroupfs" | "systemd";
  seccompDefault: boolean;
  nodeStatusUpdateFrequency: number;
  nodeLeaseDuration: number;
  syncFrequency: number;
  runtimeRequestTimeout: number;
  registerNode: boolean;
  nodeLabels: Record<string, string>;
  /** Without a byte either way, pings included, for which a session is dropped; 0: never. */
  streamingConnectionIdleTimeout: number;
  /** For which a session's peer may leave bytes unacknowledged until it counts as gone; 0: TCP's own patience. */
  streamPeerTimeout: number;
  webhookAuthorizedTTL: number;
  webhookUnauthorizedTTL: number;
  webhookAuthenticatedTTL: number;
}

export function defaultSettings(): KubeletSettings {
  return {
    nodeName: os.hostname().toLowerCase(),
    address: "0.0.0.0",
    port: 10250,
    nodeIP: "",
    rootDir: "/var/lib/kubelet",
    podLogsDir: "",
    runtimeEndpoint: "unix:///run/hawser/runtime.sock",
    clusterDNS: [],
    clusterDomain: "cluster.local",
    resolvConf: "/etc/resolv.conf",
    maxPods: 110,
    containerLogMaxSize: 10 * 1024 * 1024,
    containerLogMaxFiles: 5,
    cgroupRoot: "/",
    cgroupDriver: "cgroupfs",
    seccompDefault: false,
    nodeStatusUpdateFrequency: 10_000,
    nodeLeaseDuration: 40_000,
    syncFrequency: 60_000,
    runtimeRequestTimeout: 120_000,
    registerNode: true,
    nodeLabels: {},
    streamingConnectionIdleTimeout: 4 * 3_600_000,
    streamPeerTimeout: 30_000,
    webhookAuthorizedTTL: 5 * 60_000,
    webhookUnauthorizedTTL: 30_000,
    webhookAuthenticatedTTL: 2 * 60_000,
  };
}

/** A kubelet that keeps its files elsewhere keeps its logs there too. */
export function defaultPodLogsDir(rootDir: string): string {
  return rootDir === "/var/lib/kubelet" ? "/var/log/pods" : path.join(rootDir, "log/pods");
}

/** What a config file may also say: files that are read once, at the start. */
export interface FileSettings {
  tlsCertFile?: string;
  tlsPrivateKeyFile?: string;
  clientCAFile?: string;
}

type Reader = (value: unknown) => Partial<KubeletSettings> & FileSettings;

/**
 * The keys of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that mean something here.
 * `authentication.x509.clientCAFile` and the like are written with dots.
 */
const readers: Record<string, Reader> = {
  apiVersion: equal("kubelet.config.k8s.io/v1beta1"),
  kind: equal("KubeletConfiguration"),
  address: (value) => ({ address: string(value) }),
  port: (value) => ({ port: integer(value, 0, 65535) }),
  podLogsDir: (value) => ({ podLogsDir: string(value) }),
  containerRuntimeEndpoint: (value) => ({ runtimeEndpoint: string(value) }),
  clusterDNS: (value) => ({ clusterDNS: strings(value) }),
  clusterDomain: (value) => ({ clusterDomain: string(value) }),
  resolvConf: (value) => ({ resolvConf: string(value) }),
  maxPods: (value) => ({ maxPods: integer(value, 1, 10_000) }),
  containerLogMaxSize: (value) => ({ containerLogMaxSize: parseQuantity(string(value)) }),
  containerLogMaxFiles: (value) => ({ containerLogMaxFiles: integer(value, 2, 1000) }),
  cgroupRoot: (value) => ({ cgroupRoot: string(value) }),
  cgroupDriver: (value) => ({ cgroupDriver: oneOf(value, ["cgroupfs", "systemd"] as const) }),
  seccompDefault: (value) => ({ seccompDefault: boolean(value) }),
  nodeStatusUpdateFrequency: (value) => ({ nodeStatusUpdateFrequency: duration(value) }),
  nodeLeaseDurationSeconds: (value) => ({ nodeLeaseDuration: integer(value, 1, 3600) * 1000 }),
  syncFrequency: (value) => ({ syncFrequency: duration(value) }),
  runtimeRequestTimeout: (value) => ({ runtimeRequestTimeout: duration(value) }),
  streamingConnectionIdleTimeout: (value) => ({ streamingConnectionIdleTimeout: duration(value) }),
  registerNode: (value) => ({ registerNode: boolean(value) }),
  tlsCertFile: (value) => ({ tlsCertFile: string(value) }),
  tlsPrivateKeyFile: (value) => ({ tlsPrivateKeyFile: string(value) }),
  "authentication.x509.clientCAFile": (value) => ({ clientCAFile: string(value) }),
  "authentication.webhook.enabled": equal(true),
  "authentication.webhook.cacheTTL": (value) => ({ webhookAuthenticatedTTL: duration(value) }),
  "authentication.anonymous.enabled": equal(false),
  "authorization.mode": equal("Webhook"),
  "authorization.webhook.cacheAuthorizedTTL": (value) => ({ webhookAuthorizedTTL: duration(value) }),
  "authorization.webhook.cacheUnauthorizedTTL": (value) => ({ webhookUnauthorizedTTL: duration(value) }),
  readOnlyPort: equal(0),
};

/** Reads a parsed config file. Throws, naming the key, for what is unknown, malformed or not supported. */
export function readSettings(document: unknown): Partial<KubeletSettings> & FileSettings {
  const result: Partial<KubeletSettings> & FileSettings = {};
  for (const [key, value] of flatten(document)) {
    const reader = readers[key];
    if (!reader) throw new Error(`kubelet config: "${key}" is not known or not supported`);
    try {
      Object.assign(result, reader(value));
    } catch (cause) {
      throw new Error(`kubelet config: "${key}": ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
  return result;
}

function flatten(value: unknown, prefix = ""): [string, unknown][] {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    if (prefix === "") throw new Error("kubelet config is not a mapping");
    return [[prefix, value]];
  }
  return Object.entries(value).flatMap(([key, member]) => flatten(member, prefix ? `${prefix}.${key}` : key));
}

function string(value: unknown): string {
  if (typeof value !== "string") throw new Error("is no text");
  return value;
}

function strings(value: unknown): string[] {
  if (!Array.isArray(value)) throw new Error("is no list");
  return value.map(string);
}

function boolean(value: unknown): boolean {
  if (typeof value !== "boolean") throw new Error("is neither true nor false");
  return value;
}

function integer(value: unknown, least: number, most: number): number {
  if (!Number.isInteger(value) || Number(value) < least || Number(value) > most) {
    throw new Error(`is no whole number from ${least} to ${most}`);
  }
  return Number(value);
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (!found) throw new Error(`is none of ${allowed.join(", ")}`);
  return found;
}

function equal(only: unknown): Reader {
  return (value) => {
    if (value !== only) throw new Error(`only ${JSON.stringify(only)} is supported`);
    return {};
  };
}

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `1h30m`, `10s`, `500ms` to milliseconds. */
export function duration(value: unknown): number {
  const text = string(value);
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) throw new Error(`"${text}" is no duration`);
  return parts.reduce((sum, [, number, unit = "s"]) => sum + Number(number) * (units[unit] ?? 0), 0);
}
