import path from "node:path";
import type { Logger } from "@hawser/trace";
import type { IDMappings } from "../native/idmap.ts";
import type { NetworkRecord, SandboxRecord } from "../store/records.ts";
import { releaseAddresses, removeHostPorts } from "./by-hand.ts";
import { type Attachment, type CNI, CNIError, MissingPluginError, type PluginConfig, plugin } from "./cni.ts";
import { createNetns, dropUnpinned } from "./netns.ts";
import { createUserNamespaces, removeNamespaces } from "./userns.ts";

const cniVersion = "1.0.0";

/** The pods' network of this node. */
export interface Network {
  cni: CNI;
  /** Name of the CNI network and of its bridge: at most 15 bytes, as interfaces are named. */
  name: string;
  podCIDR: string;
  /** Where host-local keeps the addresses it gave out. */
  ipamDir: string;
  /** Where network namespaces are pinned. */
  netnsDir: string;
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
  else await createNetns(file);
  return file;
}

/**
 * Connects a pod's namespace: loopback and bridge side by side, portmap after them when host ports are asked for.
 * Returns the addresses, the first one first. Throws CNIError; the caller then disconnects.
 */
export async function connect(network: Network, netns: string, connection: Connection): Promise<NetworkRecord> {
  const { cni } = network;
  const to = (ifName: string) => attachment(connection, netns, ifName);
  const [result] = await Promise.all([
    plugin(cni, "ADD", bridge(network), to("eth0")),
    plugin(cni, "ADD", loopback(), to("lo")),
    network.ready(),
  ]);
  if (connection.portMappings.length > 0) {
    await plugin(cni, "ADD", { ...portmap(network, connection), prevResult: result }, to("eth0"));
  }
  const ips = (result.ips ?? []).map(({ address }) => address.split("/")[0] ?? address);
  if (ips.length === 0) throw new Error(`the bridge plugin gave "${connection.id}" no address`);
  return { netns, ips, portMappings: connection.portMappings };
}

/** The connection of a sandbox that exists. */
export function connectionOfRecord({ id, metadata, network }: SandboxRecord): Connection {
  return {
    id,
    podName: metadata.name,
    podNamespace: metadata.namespace,
    podUID: metadata.uid,
    portMappings: network?.portMappings ?? [],
  };
}

/**
 * Gives back addresses, ports and the namespace. Idempotent: what is gone is gone. What fails keeps nothing else from being
 * given back; its CNIError, the first one, is thrown at the end.
 *
 * The work of a plugin that is not there is done without it: nobody can say when it will be installed again. So is that of one
 * that fails, with `byHand`, when nobody will come back for it.
 */
export async function disconnect(
  network: Network,
  netns: string,
  connection: Connection,
  { byHand = false }: { byHand?: boolean } = {},
): Promise<void> {
  const { cni } = network;
  const { id } = connection;
  const to = attachment(connection, netns, "eth0");
  await dropUnpinned(netns);
  const failed: { error: unknown; instead: () => Promise<void> }[] = [];
  if (connection.portMappings.length > 0) {
    const instead = () => removeHostPorts(cni, id);
    await plugin(cni, "DEL", portmap(network, connection), to).catch((error) => failed.push({ error, instead }));
  }
  const instead = () => releaseAddresses(network, id); // the interface has gone with the namespace by then
  await plugin(cni, "DEL", bridge(network), to).catch((error) => failed.push({ error, instead }));
  await removeNamespaces(netns); // with it goes the loopback interface
  const failures: unknown[] = [];
  for (const { error, instead } of failed) {
    if (!byHand && !(error instanceof MissingPluginError)) failures.push(error);
    else {
      await instead().then(
        () => network.log?.warn("a pod's network is given back without a plugin", { id, error }),
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

function loopback(): PluginConfig {
  return { cniVersion, name: "cni-loopback", type: "loopback" };
}

/** Masquerading is one rule for the whole network (rules.ts), so that no pod pays for calls of iptables. */
export function bridge({ name, podCIDR, ipamDir }: Network): PluginConfig {
  return {
    cniVersion,
    name,
    type: "bridge",
    bridge: name,
    isGateway: true,
    hairpinMode: true,
    ipMasq: false,
    ipam: {
      type: "host-local",
      ranges: [[{ subnet: podCIDR }]],
      routes: [{ dst: "0.0.0.0/0" }],
      dataDir: ipamDir,
    },
  };
}

/** `snat` lets the node reach host ports by 127.0.0.1 too; rules.ts keeps pods from misusing route_localnet. */
export function portmap(
  { name }: Pick<Network, "name">,
  { portMappings }: Pick<Connection, "portMappings">,
): PluginConfig {
  return { cniVersion, name, type: "portmap", snat: true, runtimeConfig: { portMappings } };
}
