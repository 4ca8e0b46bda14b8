import { constants } from "node:os";
import { Interrupted } from "./errors.ts";
import type { IO } from "./io.ts";
import { run } from "./run.ts";

/** Milliseconds a command has to end after a signal, before it is ended. */
const graceMs = 2_000;

/**
 * Runs one `hawser` command line (without node and the program's path) on this process's streams and signals.
 * Resolves with the exit code, the terminal as it was.
 */
export async function main(argv: string[]): Promise<number> {
  const stop = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
  const onSignal = (name: NodeJS.Signals) => {
    const reason = new Interrupted(name, constants.signals[name]);
    if (stop.signal.aborted) process.exit(reason.exitCode); // the second one does not wait
    stop.abort(reason);
    setTimeout(() => process.exit(reason.exitCode), graceMs).unref();
  };
  for (const name of signals) process.on(name, onSignal);
  const { io, restore } = processIO(() => onSignal("SIGHUP"));
  try {
    return await run(argv, { io, signal: stop.signal });
  } finally {
    for (const name of signals) process.off(name, onSignal);
    restore();
  }
}

function processIO(onHangup: () => void): { io: IO; restore(): void } {
  let watched = false;
  const io: IO = {
    // Opened when it is first asked for: an open stdin would keep other commands from ending.
    get stdin() {
      const { stdin } = process;
      // In raw mode each key is data, Ctrl-D included. An end means that the terminal has gone, though no SIGHUP came:
      // that goes to the session's leader alone, which may be a `make`.
      if (!watched && stdin.isTTY)
        for (const event of ["end", "error"]) stdin.once(event, () => stdin.isRaw && onHangup());
      watched = true;
      return stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    passOutput,
    onContinue,
  };
  // A terminal that nobody has asked for is as it was.
  const restore = () => void (watched && process.stdin.isTTY && process.stdin.isRaw && process.stdin.setRawMode(false));
  return { io, restore };
}

function onContinue(listener: () => void): () => void {
  const onSignal = () => {
    listener();
    process.kill(process.pid, "SIGWINCH"); // of a size that changed meanwhile only the foreground was told
  };
  process.on("SIGCONT", onSignal);
  return () => process.off("SIGCONT", onSignal);
}

/** Node cannot clear OPOST itself; stty can. A machine without it gets Node's raw mode. */
async function passOutput(): Promise<void> {
  const { spawn } = await import("node:child_process");
  await new Promise<void>((resolve) => {
    const stty = spawn("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
    stty.once("error", () => resolve());
    stty.once("close", () => resolve());
  });
}
