import { parseArgs } from "node:util";
import { removeEverything } from "@hawser/runtime";

/** Removes every container, mount, namespace, interface, rule and cgroup that a runtime with this root has made; images stay. */
export async function removeContainers(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { root: { type: "string" } } });
  if (!values.root) throw new Error("remove-containers needs --root");
  await removeEverything(values.root);
  return 0;
}
