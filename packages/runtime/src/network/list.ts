import {
  type Attachment,
  type CNI,
  CNIError,
  type CNIResult,
  MissingPluginError,
  type Plugin,
  type PluginConfig,
  plugin,
} from "./cni.ts";
import { resultAs } from "./result.ts";

/** A CNI network: its plugins, the one that makes the interface first. */
export interface NetworkList {
  name: string;
  cniVersion: string;
  plugins: Plugin[];
}

/** How a pod is connected to a network, or is to be: so it is disconnected, whatever becomes of the network meanwhile. */
export interface Membership {
  list: NetworkList;
  /** By name, what there is to tell plugins that want it. */
  capabilities: Record<string, unknown>;
  /** What came of it; absent until it is connected. */
  result?: CNIResult | undefined;
}

/** What one plugin has not given back. */
export interface Failure {
  config: PluginConfig;
  error: unknown;
}

/** Versions whose DEL gets no result. Source: containernetworking/cni libcni/api.go DelNetworkList */
const withoutResult = new Set(["0.1.0", "0.2.0", "0.3.0", "0.3.1"]);

/**
 * ADD of each plugin in order, which gets the result of the one before. Resolves with the last one's. Throws the first CNIError;
 * the caller then removes the pod from the network, all of it.
 *
 * Source: containernetworking/cni SPEC.md, section 3
 */
export async function addToNetwork(cni: CNI, { list, capabilities }: Membership, to: Attachment): Promise<CNIResult> {
  let result: CNIResult | undefined;
  for (const each of list.plugins) {
    const answer = await plugin(cni, "ADD", configOf(list, each, { capabilities, prevResult: result }), to);
    result = { cniVersion: list.cniVersion, ...answer };
  }
  return result ?? {};
}

/** DEL of each plugin in reverse order, whatever becomes of the others. Resolves with what has failed. */
export async function removeFromNetwork(
  cni: CNI,
  { list, capabilities, result }: Membership,
  to: Attachment,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  const prevResult = result && !withoutResult.has(list.cniVersion) ? resultAs(result, list.cniVersion) : undefined;
  for (const each of list.plugins.toReversed()) {
    const config = configOf(list, each, { capabilities, prevResult });
    await plugin(cni, "DEL", config, to).catch((error: unknown) => failures.push({ config, error }));
  }
  return failures;
}

/**
 * Asks each plugin whether it can serve pods, where the network's version has that verb. Throws the first CNIError.
 *
 * Source: containernetworking/cni SPEC.md, section 2, STATUS; libcni/api.go GetStatusNetworkList
 */
export async function askStatus(cni: CNI, list: NetworkList): Promise<void> {
  const [major = 0, minor = 0] = list.cniVersion.split(".").map(Number);
  if (major < 1 || (major === 1 && minor < 1)) return;
  for (const each of list.plugins) {
    await plugin(cni, "STATUS", configOf(list, each, { capabilities: {}, prevResult: undefined }));
  }
}

function configOf(
  { name, cniVersion }: NetworkList,
  each: Plugin,
  { capabilities, prevResult }: { capabilities: Record<string, unknown>; prevResult: CNIResult | undefined },
): PluginConfig {
  const told = Object.entries(capabilities).filter(([capability]) => each.capabilities?.[capability]);
  return {
    ...each,
    name,
    cniVersion,
    ...(told.length > 0 && { runtimeConfig: Object.fromEntries(told) }),
    ...(prevResult && { prevResult }),
  };
}

/**
 * Is a DEL's failure that nothing is there any more? Plugins say so that are asked twice, or after a reboot, when there is no
 * namespace.
 *
 * Source: containerd/go-cni cni.go Remove
 */
export function saysGone(error: unknown, { netns }: Pick<Attachment, "netns">): boolean {
  if (!(error instanceof CNIError) || error instanceof MissingPluginError) return false;
  if (/executable file not found/.test(error.message)) return false; // iptables, say: what it has made is there
  return /not found/.test(error.message) || (netns === "" && /no such file or directory/.test(error.message));
}
