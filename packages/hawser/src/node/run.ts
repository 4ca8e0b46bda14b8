import { rpcErrorText } from "@hawser/cri";
import { connectTo } from "./connect.ts";
import { findEndpoint } from "./endpoint.ts";
import { nodeHelp, verbHelp } from "./help.ts";
import { images } from "./images.ts";
import { info } from "./info.ts";
import { inspect } from "./inspect.ts";
import { MisuseError, type NodeIO } from "./io.ts";
import { logs } from "./logs.ts";
import { runPods } from "./pods.ts";
import { ps } from "./ps.ts";
import { pull } from "./pull.ts";
import { stats } from "./stats.ts";
import type { Verb } from "./verb.ts";

const verbs: Record<string, Verb> = { ps, pods: runPods, images, pull, inspect, stats, logs, info };

/**
 * Runs one of the node's verbs. Resolves with its exit code: 0, 1 when it failed, 2 when it was not understood. Rejects with the signal's
 * reason when that ended it.
 */
export async function runNodeCommand(io: NodeIO, argv: string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    const [topic] = rest;
    if (first === "help" && topic !== undefined) return await runNodeCommand(io, [topic, "--help"]);
    (first === undefined ? io.stderr : io.stdout).write(nodeHelp);
    return first === undefined ? 2 : 0;
  }
  const verb = Object.hasOwn(verbs, first) ? verbs[first] : undefined;
  if (!verb) return misuse(io, `unknown verb "${first}": one of ${Object.keys(verbs).join(", ")}`, "");
  try {
    const line = verb(rest);
    if (line.values.help) {
      io.stdout.write(`hawser node ${verbHelp[first] ?? ""}`);
      return 0;
    }
    const endpoint = await findEndpoint(line.values, io.env);
    using cri = await connectTo(endpoint);
    await line.run({ io, cri, endpoint, now: Date.now });
    return 0;
  } catch (error) {
    io.signal.throwIfAborted();
    if (error instanceof MisuseError) return misuse(io, error.message, ` ${first}`);
    io.stderr.write(`error: ${rpcErrorText(error)}\n`);
    return 1;
  }
}

function misuse({ stderr }: NodeIO, message: string, verb: string): number {
  stderr.write(`error: ${message}\nSee 'hawser node${verb} --help'.\n`);
  return 2;
}
