import type { PortMapping } from "../store/records.ts";
import { releaseAddresses, removeHostPorts } from "./by-hand.ts";
import type { CNI, Plugin } from "./cni.ts";
import type { Membership } from "./list.ts";

/** The network that is made by this runtime itself. */
export interface OwnNetwork {
  /** Of the CNI network and of its bridge: at most 15 bytes, as interfaces are named. */
  name: string;
  podCIDR: string;
  /** Where host-local keeps the addresses it gave out. */
  ipamDir: string;
}

export const cniVersion = "1.0.0";
export const loopback = { cniVersion, name: "cni-loopback", type: "loopback" };

/** A pod's membership; portmap is spared those without host ports. */
export function ownMembership(network: OwnNetwork, portMappings: PortMapping[]): Membership {
  const plugins = portMappings.length > 0 ? [bridge(network), portmap] : [bridge(network)];
  return { list: { name: network.name, cniVersion, plugins }, capabilities: { portMappings } };
}

/** All that its pods may need: of each, whether it is there decides whether the network is ready. */
export function ownPlugins(network: OwnNetwork): Plugin[] {
  return [bridge(network), portmap];
}

/** Does a plugin's DEL without it. */
export async function withoutPlugin(cni: CNI, network: OwnNetwork, { type }: Plugin, id: string): Promise<void> {
  if (type === "portmap") await removeHostPorts(cni, id);
  else await releaseAddresses(network, id); // the interface goes with the namespace
}

/** Masquerading is one rule for the whole network (rules.ts), so that no pod pays for calls of iptables. */
function bridge({ name, podCIDR, ipamDir }: OwnNetwork): Plugin {
  return {
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
const portmap: Plugin = { type: "portmap", snat: true, capabilities: { portMappings: true } };
