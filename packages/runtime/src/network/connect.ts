import path from "node:path";
import type { Logger } from "@hawser/trace";
import { allAtTheirEnd } from "../all-at-their-end.ts";
import { exists } from "../exists.ts";
import type { IDMappings } from "../native/idmap.ts";
import type { NetworkRecord, SandboxRecord } from "../store/records.ts";
import { type Attachment, type CNI, CNIError, MissingPluginError, plugin } from "./cni.ts";
import type { ConfDir } from "./conf-dir.ts";
import { addToNetwork, type Membership, removeFromNetwork, saysGone } from "./list.ts";
import { createNetns, dropUnpinned } from "./netns.ts";
import { loopback, type OwnNetwork, ownMembership, withoutPlugin } from "./own.ts";
import { addressesOf } from "./result.ts";
import { createUserNamespaces, removeNamespaces } from "./userns.ts";

/** What a pod's interface is called inside. */
export const ifName = "eth0";

/** The pods' network of this node. */
export interface Network extends OwnNetwork {
  cni: CNI;
  /** hawser-exec, if there is one. */
  program?: string | undefined;
  /** Where network namespaces are pinned. */
  netnsDir: string;
  /** Where others say what the pods' network is; absent with our own. */
  confDir?: ConfDir | undefined;
  /** Resolves when the node's own rules (masquerade, forwarding) are in place. */
  ready: () => Promise<void>;
  log?: Logger | undefined;
}

export interface Connection {
  id: string;
  podName: string;
  podNamespace: string;
  podUID: string;
  portMappings: NetworkRecord["portMappings"];
  /** Of the network that others have configured; absent with our own. */
  membership?: Membership | undefined;
}

/**
 * Makes the pod's network namespace; with `users` in a user namespace of its own (usernsFile).
 * Fast, and enough for the pause process to start.
 */
export async function openNetns(
  network: Network,
  id: string,
  { users, signal }: { users?: IDMappings | undefined; signal?: AbortSignal } = {},
): Promise<string> {
  const file = path.join(network.netnsDir, id);
  if (users) await createUserNamespaces(network.cni, { netns: file, mappings: users, signal });
  else await createNetns({ reaper: network.cni.reaper, program: network.program }, { file, id });
  return file;
}

/**
 * Connects a pod's namespace: loopback and the network's plugins side by side. Returns the addresses, the first one first. Throws
 * CNIError, when nobody is at work any more; the caller then disconnects.
 */
export async function connect(network: Network, netns: string, connection: Connection): Promise<NetworkRecord> {
  const { cni } = network;
  const { portMappings, membership } = connection;
  const joined = membership ?? ownMembership(network, portMappings);
  const [result] = await allAtTheirEnd([
    addToNetwork(cni, joined, attachment(connection, netns, ifName)),
    plugin(cni, "ADD", loopback, attachment(connection, netns, "lo")),
    membership ? undefined : network.ready(),
  ]);
  const ips = addressesOf(result, ifName);
  if (ips.length === 0) throw new CNIError(`network ${joined.list.name} gave "${connection.id}" no address`);
  return { netns, ips, portMappings, ...(membership && { membership: { ...membership, result } }) };
}

/** The connection of a sandbox that exists. */
export function connectionOfRecord({ id, metadata, network }: SandboxRecord): Connection {
  return {
    id,
    podName: metadata.name,
    podNamespace: metadata.namespace,
    podUID: metadata.uid,
    portMappings: network?.portMappings ?? [],
    ...(network?.membership && { membership: network.membership }),
  };
}

/**
 * Gives back addresses, ports and the namespace. Idempotent: what is gone is gone. What fails keeps nothing else from being
 * given back; its CNIError, the first one, is thrown at the end.
 *
 * Of our own network, the work of a plugin that is not there is done without it: nobody can say when it will be installed again.
 * So is that of one that fails, with `byHand`, when nobody will come back for it. Of another's network, the namespace stays for
 * the next attempt; unless the pod was never connected to the end, whose failure is told in the log alone, as by containerd.
 */
export async function disconnect(
  network: Network,
  netns: string,
  connection: Connection,
  { byHand = false }: { byHand?: boolean } = {},
): Promise<void> {
  const { cni, log } = network;
  const { id, portMappings, membership } = connection;
  await dropUnpinned(netns);
  const to = attachment(connection, (await exists(netns)) ? netns : "", ifName);
  const all = await removeFromNetwork(cni, membership ?? ownMembership(network, portMappings), to);
  const failed = all.filter(({ error }) => !saysGone(error, to));
  if (failed.length < all.length) log?.at(2, "plugins had nothing of a pod any more", { id });
  const isStuck = membership?.result !== undefined && failed.length > 0;
  if (!isStuck || byHand) await removeNamespaces(netns); // with it goes the loopback interface
  const failures: unknown[] = [];
  for (const { config, error } of failed) {
    if (membership && !membership.result)
      log?.warn("a pod that was never connected does not leave its network", { id, error });
    else if (membership || !(byHand || error instanceof MissingPluginError)) failures.push(error);
    else {
      await withoutPlugin(cni, network, config, id).then(
        () => log?.warn("a pod's network is given back without a plugin", { id, error }),
        (cause: unknown) => failures.push(neither(error, cause)),
      );
    }
  }
  if (failures.length > 0) throw failures[0];
}

function neither(error: unknown, cause: unknown): Error {
  return new CNIError(`${messageOf(error)}; nor does it go without the plugin: ${messageOf(cause)}`, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function attachment({ id, podName, podNamespace, podUID }: Connection, netns: string, ifName: string): Attachment {
  return {
    containerId: id,
    netns,
    ifName,
    args: {
      K8S_POD_NAMESPACE: podNamespace,
      K8S_POD_NAME: podName,
      K8S_POD_INFRA_CONTAINER_ID: id,
      K8S_POD_UID: podUID,
    },
  };
}
