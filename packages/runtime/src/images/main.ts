// `hawser image`: the one file of it that touches standard streams and signals.
import { runImageCommand } from "./cli.ts";

/** Runs `hawser image` with what follows those words. Resolves with the exit code. */
export async function main(argv: string[]): Promise<number> {
  const abort = new AbortController();
  const stop = () => abort.abort(new Error("interrupted"));
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    return await runImageCommand(
      { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env, signal: abort.signal },
      argv,
    );
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}
