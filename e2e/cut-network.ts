// A network that can be lost without a word.
import { randomBytes } from "node:crypto";
import { must } from "@hawser/testing";

/** A network namespace that reaches this machine over a veth pair, until it is cut: no FIN goes through then. */
export async function makeNetwork() {
  const id = randomBytes(3).toString("hex");
  const [name, end] = [`hawser-gone-${id}`, `hwt${id}`];
  const [here, there] = ["192.168.213.1", "192.168.213.2"];
  const remove = async () => {
    await must(["ip", "netns", "delete", name]).catch(() => {});
    await must(["ip", "link", "delete", end]).catch(() => {}); // it goes with its other end
  };
  try {
    await must(["ip", "netns", "add", name]);
    await must(["ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name]);
    await must(["ip", "address", "add", `${here}/24`, "dev", end]);
    await must(["ip", "link", "set", end, "up"]);
    await must(["ip", "-n", name, "address", "add", `${there}/24`, "dev", "eth0"]);
    for (const link of ["eth0", "lo"]) await must(["ip", "-n", name, "link", "set", link, "up"]);
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    here,
    inside: (command: string[]) => ["nsenter", `--net=/run/netns/${name}`, "--", ...command],
    /** The far end goes down: what is sent from here goes nowhere. */
    cut: () => must(["ip", "-n", name, "link", "set", "eth0", "down"]),
    [Symbol.asyncDispose]: remove,
  };
}
