import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { must, run } from "./command.ts";

/** The three hosts of the post, with their addresses there. */
export const postAddresses = {
  /** "Any machine". */
  client: "192.168.205.1",
  master: "192.168.205.10",
  worker: "192.168.205.11",
} as const;
export type LabHost = keyof typeof postAddresses;

/** Three hosts on one network: network namespaces, joined by a bridge in a fourth. */
export interface Lab extends AsyncDisposable {
  /** Name of a host's network namespace, as in /run/netns. */
  netns(host: LabHost): string;
  /** A command line that runs on the host. */
  on(host: LabHost, command: string[]): string[];
}

/** Builds the lab. Needs root. Disposing removes it; whatever still runs in it must have been stopped before. */
export async function createLab(): Promise<Lab> {
  const id = `hawser-${randomBytes(3).toString("hex")}`;
  const hosts = Object.keys(postAddresses) as LabHost[];
  const names = [...hosts, "switch"].map((host) => `${id}-${host}`);
  const netns = (host: LabHost | "switch") => `${id}-${host}`;
  const remove = async () => {
    for (const name of names) await run(["ip", "netns", "delete", name]);
  };
  try {
    for (const name of names) await must(["ip", "netns", "add", name]);
    await must(["ip", "-n", netns("switch"), "link", "add", "br0", "type", "bridge"]);
    await must(["ip", "-n", netns("switch"), "link", "set", "br0", "up"]);
    for (const host of hosts) {
      const veth = ["link", "add", "eth0", "netns", netns(host), "type", "veth", "peer", "name", host];
      await must(["ip", ...veth, "netns", netns("switch")]);
      await must(["ip", "-n", netns("switch"), "link", "set", "dev", host, "master", "br0", "up"]);
      await must(["ip", "-n", netns(host), "link", "set", "lo", "up"]);
      await must(["ip", "-n", netns(host), "address", "add", `${postAddresses[host]}/24`, "dev", "eth0"]);
      await must(["ip", "-n", netns(host), "link", "set", "eth0", "up"]);
    }
  } catch (err) {
    await remove();
    throw err;
  }
  return {
    netns,
    on: (host, command) => ["nsenter", `--net=/run/netns/${netns(host)}`, "--", ...command],
    async [Symbol.asyncDispose]() {
      await remove();
      for (const name of names) await rm(`/run/netns/${name}`, { force: true });
    },
  };
}
