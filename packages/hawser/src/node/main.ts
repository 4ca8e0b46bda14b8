// `hawser node …` and its short forms: the one file of them that touches standard streams and signals.
import { constants } from "node:os";
import { runNodeCommand } from "./run.ts";

/** Runs the verb with what follows it. Resolves with the exit code; 128 and the signal's number after one. */
export async function node(argv: string[]): Promise<number> {
  const abort = new AbortController();
  let ended = 0;
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const stop = (signal: NodeJS.Signals) => {
    ended = 128 + constants.signals[signal];
    abort.abort(new Error(`stopped by ${signal}`));
  };
  for (const signal of signals) process.once(signal, stop);
  try {
    const { stdout, stderr, env } = process;
    return await runNodeCommand({ stdout, stderr, env, signal: abort.signal }, argv);
  } catch (error) {
    if (ended > 0) return ended; // the wish of whoever stopped it
    throw error;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
