import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { parse } from "yaml";
import type { ImageStoreConfig } from "./images/index.ts";

/** What can be set in the file given with --config, and by startRuntime. Everything has a default. */
export interface RuntimeConfig {
  /** Addresses of pods, IPv4. */
  podCIDR: string;
  /** Where the CNI plugins are. */
  cniBinDir: string;
  /** Where the OCI runtime's state, sockets and network namespaces are; should not survive a reboot. Empty: /run/hawser/<hash of the root>. */
  stateDir: string;
  /** The static pause program: a name to look up in PATH, or a path. */
  pauseProgram: string;
  /** conmon: a name to look up in PATH, or a path. */
  conmonProgram: string;
  /** cgroup of pods for which none is given. Empty: /hawser-<hash of the root>. */
  cgroupParent: string;
  streaming: {
    address: string;
    /** 0: any free one. */
    port: number;
    /** Seconds without a byte until a session is ended; 0 for never. */
    idleTimeoutSeconds: number;
  };
  exec: {
    /** Seconds between SIGHUP and SIGKILL when the client is gone. */
    graceSeconds: number;
    /** Seconds an output may stay open and silent after its command has ended. */
    drainSeconds: number;
  };
  images: ImageStoreConfig;
}

export const defaultConfig: RuntimeConfig = {
  podCIDR: "10.88.0.0/16",
  cniBinDir: "/usr/lib/cni",
  stateDir: "",
  pauseProgram: "catatonit",
  conmonProgram: "conmon",
  cgroupParent: "",
  streaming: { address: "127.0.0.1", port: 0, idleTimeoutSeconds: 4 * 3600 },
  exec: { graceSeconds: 2, drainSeconds: 0.25 },
  images: {},
};

export type PartialConfig = {
  [K in keyof RuntimeConfig]?: RuntimeConfig[K] extends object ? Partial<RuntimeConfig[K]> : RuntimeConfig[K];
};

/**
 * The defaults with what is given over them. Throws for a name that does not exist, a value of another type, and
 * addresses no pod could have.
 */
export function completeConfig(given: PartialConfig): RuntimeConfig {
  const config = merge(defaultConfig, given, "") as RuntimeConfig; // merge() has checked names and types
  const [address = "", prefix = "", ...more] = config.podCIDR.split("/");
  if (!isIPv4(address) || !/^\d{1,2}$/.test(prefix) || +prefix < 8 || +prefix > 30 || more.length > 0) {
    throw new Error(
      `setting "podCIDR" has to be IPv4 addresses, /8 to /30, such as ${defaultConfig.podCIDR}, and not ${JSON.stringify(config.podCIDR)}`,
    );
  }
  return config;
}

/** Reads a YAML file. Throws with its path for what it cannot take. */
export async function readConfigFile(file: string): Promise<PartialConfig> {
  try {
    const value: unknown = parse(await readFile(file, "utf8")) ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw new Error("not a mapping");
    merge(defaultConfig, value as object, "");
    return value as PartialConfig;
  } catch (cause) {
    throw new Error(`config file ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

const imageSettings: string[] = ["mirrors", "insecureRegistries", "auth", "timeouts", "pinned"];

function merge(base: object, given: object, path: string): object {
  const result: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const known = result[name];
    const full = `${path}${name}`;
    if (full === "images") {
      for (const key of Object.keys(value ?? {})) {
        if (!imageSettings.includes(key)) throw new Error(`unknown setting "images.${key}"`);
      }
      result[name] = value; // its values are the image store's to check
      continue;
    }
    if (known === undefined) throw new Error(`unknown setting "${full}"`);
    if (typeof known !== typeof value || value === null)
      throw new Error(`setting "${full}" has to be a ${typeof known}`);
    result[name] = typeof known === "object" && known ? merge(known, value as object, `${full}.`) : value;
  }
  return result;
}
