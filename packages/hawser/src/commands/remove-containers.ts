import { parseArgs } from "node:util";
import { NetworkRemainsError, removeEverything } from "@hawser/runtime";
import { networkRemains } from "../cluster/undone.ts";

/**
 * Removes every container, mount, namespace, interface, rule and cgroup that a runtime with this root has made; images stay.
 * Exits with `networkRemains` when some of the network is all that is left.
 */
export async function removeContainers(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { root: { type: "string" } } });
  if (!values.root) throw new Error("remove-containers needs --root");
  try {
    await removeEverything(values.root);
  } catch (error) {
    if (!(error instanceof NetworkRemainsError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return networkRemains;
  }
  return 0;
}
