import { writeSync } from "node:fs";
import { stillAtEnd } from "./still-at-end.ts";

/** Runs one command line, without node and the program's path. Resolves with the exit code. */
export type Main = (argv: string[]) => Promise<number>;

/** What a write to a pipe without a reader, or to a terminal that is gone, fails with. */
const readerGone: ReadonlySet<string | undefined> = new Set(["EPIPE", "EIO", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

/** Runs `main` on this process's own command line and ends the process with its exit code. */
export async function runAsProcess(main: Main): Promise<void> {
  stillAtEnd();
  // `hawser get pods | head -1`, or a terminal that was closed: the reader has gone, and there is nobody to tell. What
  // changes the machine goes on to its end all the same; anything else ends.
  const command = process.argv[2] ?? "";
  const goesOn = command === "up" || command === "down";
  const onFailure = (err: Error) => goesOn || process.exit(outputFailed(err));
  process.stdout.on("error", onFailure);
  process.stderr.on("error", () => {});
  const code = await main(process.argv.slice(2)).catch((err: unknown) => {
    process.stderr.write(`hawser: ${err instanceof Error ? explain(err) : String(err)}\n`);
    return 1;
  });
  await Promise.all([taken(process.stdout), taken(process.stderr)]);
  if (process.stdout.errored) onFailure(process.stdout.errored); // of the last write, before its event
  process.exit(code);
}

/** The exit code: as if SIGPIPE had ended us, or 1 where what was written is not all there, on a full disk say. */
function outputFailed(err: NodeJS.ErrnoException): number {
  if (readerGone.has(err.code)) return 141;
  try {
    writeSync(process.stderr.fd, `error: write /dev/stdout: ${err.message}\n`);
  } catch {
    // the same disk, likely: the exit code tells
  }
  return 1;
}

/** Resolves when the reader has taken all that was written; a pipe takes what fits and the rest when it can. */
function taken(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength === 0) return Promise.resolve();
  return new Promise((resolve) => stream.write("", () => resolve()));
}

/** The stack only where it is asked for: people get the message. */
function explain(err: Error): string {
  return process.env.HAWSER_DEBUG ? (err.stack ?? err.message) : err.message;
}
