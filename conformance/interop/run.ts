import type { Client } from "./clients.ts";
import { listen } from "./spoken.ts";
import type { Cell } from "./table.ts";
import type { Target } from "./target.ts";
import { tryVerb, type Verb } from "./verbs.ts";

/** Runs one cell of the matrix. */
export async function runCell(target: Target, client: Client, verb: Verb): Promise<Cell> {
  const { result: why, spoken } = await listen(target, () => tryVerb(verb, { client, target }));
  const others = spoken.filter((transport) => transport !== client.transport);
  const note = others.length > 0 ? others.join(", ") : undefined;
  return { runtime: target.name, client: client.name, verb: verb.name, why, note };
}
