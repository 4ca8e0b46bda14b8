import { isIPv4 } from "node:net";
import { isAbsolute } from "node:path";
import { readPlainFile } from "@hawser/files";
import { parse } from "yaml";
import { type CgroupDriver, cgroupParentPath, checkPodSlices, isSlice } from "./cgroup/parent.ts";
import { isPipe, readPipe } from "./config-pipe.ts";
import { defaultTimeouts } from "./images/registry/timeouts.ts";
import { checkStoreConfig, type ImageStoreConfig } from "./images/store-config.ts";
import { parseMetricsAddress } from "./metrics/address.ts";
import { checkRlimits, type RlimitSettings } from "./oci/rlimits.ts";
import { didYouMean } from "./settings.ts";

/** Largest configuration file, bytes. */
const maxFileBytes = 1024 * 1024;
/** How long one that is a pipe may take to its end, milliseconds. */
const pipePatience = 10_000;
/** Longest time that can be set, seconds: what a timer can wait. */
const maxSeconds = 2_000_000;

/** What can be set in the file given with --config, and by startRuntime. Everything has a default. */
export interface RuntimeConfig {
  /** klog's -v. */
  verbosity: number;
  /** Addresses of pods, IPv4. */
  podCIDR: string;
  /** Where the CNI plugins are; several directories are separated by colons. */
  cniBinDir: string;
  /** Where others say what the pods' network is; empty for our own. */
  cniConfDir: string;
  /**
   * Where the OCI runtime's state, sockets and network namespaces are; should not survive a reboot. Empty: /run/hawser/<hash of
   * the root>.
   */
  stateDir: string;
  /** The static pause program: a name to look up in PATH, or a path. */
  pauseProgram: string;
  /** conmon: a name to look up in PATH, or a path. */
  conmonProgram: string;
  /** Seconds one command of the OCI runtime may take; then it is killed. */
  ociTimeoutSeconds: number;
  /** Seconds a CNI plugin may take; then it is killed. */
  cniTimeoutSeconds: number;
  /** Who makes cgroups: we by the file system, or systemd. */
  cgroupDriver: CgroupDriver;
  /** cgroup of pods for which none is given: a path, or with systemd a slice. Empty: /hawser-<hash of the root>. */
  cgroupParent: string;
  /** Limits of containers' processes, by setrlimit's names. */
  rlimits: RlimitSettings;
  streaming: {
    address: string;
    /** 0: any free one. */
    port: number;
    /** Seconds without a byte until a session is ended; 0 for never. */
    idleTimeoutSeconds: number;
    /** Seconds a client may take to open its streams. */
    creationTimeoutSeconds: number;
  };
  exec: {
    /** Seconds between SIGHUP and SIGKILL when the client is gone. */
    graceSeconds: number;
    /** Seconds an output may stay open and silent after its command has ended. */
    drainSeconds: number;
    /**
     * Enter containers and start programs by hawser-exec, where there is one; false: by the OCI runtime's exec, and by the event
     * loop.
     */
    helper: boolean;
  };
  images: ImageStoreConfig;
  metrics: {
    /** `unix:///PATH`, a loopback address with its port, or empty for none. */
    address: string;
  };
}

export const defaultConfig: RuntimeConfig = {
  verbosity: 0,
  podCIDR: "10.88.0.0/16",
  cniBinDir: "/usr/lib/cni",
  cniConfDir: "",
  stateDir: "",
  pauseProgram: "catatonit",
  conmonProgram: "conmon",
  ociTimeoutSeconds: 60,
  cniTimeoutSeconds: 60,
  cgroupDriver: "cgroupfs",
  cgroupParent: "",
  rlimits: {},
  streaming: { address: "127.0.0.1", port: 0, idleTimeoutSeconds: 4 * 3600, creationTimeoutSeconds: 30 },
  exec: { graceSeconds: 2, drainSeconds: 0.25, helper: true },
  images: { mirrors: {}, insecureRegistries: [], auth: {}, timeouts: { ...defaultTimeouts }, pinned: [] },
  metrics: { address: "" },
};

export type PartialConfig = {
  [K in keyof RuntimeConfig]?: RuntimeConfig[K] extends object ? Partial<RuntimeConfig[K]> : RuntimeConfig[K];
};

/**
 * The defaults with what is given over them. Throws for a name that does not exist, a value of another type or out of
 * its range, and addresses no pod could have.
 */
export function completeConfig(given: PartialConfig): RuntimeConfig {
  const { images = {}, rlimits, ...rest } = given;
  // A copy: what is complete may be changed, by a reload.
  const { images: defaultImages, rlimits: defaultRlimits, ...defaults } = structuredClone(defaultConfig);
  const ownImages = checkStoreConfig(images ?? {}, didYouMean);
  const config = {
    ...merge(defaults, rest, ""),
    rlimits: checkRlimits(rlimits ?? defaultRlimits),
    images: { ...defaultImages, ...ownImages, timeouts: { ...defaultTimeouts, ...ownImages.timeouts } },
  } as RuntimeConfig; // merge() has checked names and types
  checkAddresses(config);
  checkDirectories(config);
  checkCgroups(config);
  const { verbosity, streaming, exec } = config;
  inRange("verbosity", verbosity, 100, true);
  inRange("streaming.port", streaming.port, 65535, true);
  inRange("streaming.idleTimeoutSeconds", streaming.idleTimeoutSeconds, maxSeconds);
  inRange("streaming.creationTimeoutSeconds", streaming.creationTimeoutSeconds, maxSeconds);
  for (const name of ["ociTimeoutSeconds", "cniTimeoutSeconds"] as const) {
    inRange(name, config[name], maxSeconds);
    if (config[name] === 0) throw new Error(`setting "${name}" has to be more than 0`);
  }
  inRange("exec.graceSeconds", exec.graceSeconds, maxSeconds);
  inRange("exec.drainSeconds", exec.drainSeconds, maxSeconds);
  parseMetricsAddress(config.metrics.address);
  return config;
}

/** Where a configuration was read from: a pipe can be read once only. */
export interface ConfigFile {
  config: PartialConfig;
  fromPipe: boolean;
}

/** Reads a YAML file of at most 1 MiB, or a pipe within 10 s. Throws with its path for what it cannot take. */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  try {
    const fromPipe = await isPipe(file);
    const limits = { maxBytes: maxFileBytes, timeoutMs: pipePatience };
    const text = fromPipe ? await readPipe(file, limits) : await readPlainFile(file, maxFileBytes);
    const value: unknown = parse(text) ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw new Error("not a mapping");
    completeConfig(value as PartialConfig); // checked by it
    return { config: value as PartialConfig, fromPipe };
  } catch (cause) {
    throw new Error(`config file ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** A section that is there but empty (null in YAML) is as good as none. */
function merge(base: object, given: object, path: string): object {
  const result: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const known = Object.hasOwn(result, name) ? result[name] : undefined;
    const full = `${path}${name}`;
    if (known === undefined) throw new Error(`unknown setting "${full}"${didYouMean(full)}`);
    const isSection = typeof known === "object";
    if (isSection && value === null) continue;
    if (typeof known !== typeof value || value === null || Array.isArray(value))
      throw new Error(`setting "${full}" has to be a ${isSection ? "mapping" : typeof known}`);
    result[name] = isSection && known ? merge(known, value as object, `${full}.`) : value;
  }
  return result;
}

function checkCgroups({ cgroupDriver, cgroupParent }: RuntimeConfig): void {
  if (cgroupDriver !== "cgroupfs" && cgroupDriver !== "systemd") {
    throw new Error(`setting "cgroupDriver" has to be cgroupfs or systemd, and not ${JSON.stringify(cgroupDriver)}`);
  }
  if (!cgroupParent) return;
  try {
    const parent = cgroupParentPath(cgroupParent, cgroupDriver);
    if (isSlice(parent)) checkPodSlices(parent);
  } catch (cause) {
    throw new Error(`setting "cgroupParent": ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

function checkDirectories({ cniBinDir, cniConfDir }: RuntimeConfig): void {
  if (cniConfDir && !isAbsolute(cniConfDir)) {
    throw new Error(`setting "cniConfDir" has to be an absolute path, and not ${JSON.stringify(cniConfDir)}`);
  }
  if (!cniBinDir.split(":").every(isAbsolute)) {
    throw new Error(`setting "cniBinDir" has to be absolute paths, and not ${JSON.stringify(cniBinDir)}`);
  }
}

function checkAddresses({ podCIDR }: RuntimeConfig): void {
  const [address = "", prefix = "", ...more] = podCIDR.split("/");
  if (!isIPv4(address) || !/^\d{1,2}$/.test(prefix) || +prefix < 8 || +prefix > 30 || more.length > 0) {
    throw new Error(
      `setting "podCIDR" has to be IPv4 addresses, /8 to /30, such as ${defaultConfig.podCIDR}, and not ${JSON.stringify(podCIDR)}`,
    );
  }
  const [first = 0] = address.split(".").map(Number);
  if (first === 0 || first === 127 || first >= 224)
    throw new Error(`setting "podCIDR" has to be addresses that hosts can have, and not ${podCIDR}`);
}

function inRange(key: string, value: number, most: number, whole = false): void {
  if (value >= 0 && value <= most && (!whole || Number.isInteger(value))) return; // NaN is in no range
  throw new Error(`setting "${key}" has to be a ${whole ? "whole " : ""}number from 0 to ${most}, and not ${value}`);
}
