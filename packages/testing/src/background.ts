import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/** A program that runs beside a test. Disposing kills it, should it still run, and waits for its end. */
export interface Background extends AsyncDisposable {
  child: ChildProcessByStdio<Writable, Readable, Readable>;
  pid: number;
  /** Everything it has said so far, both outputs in the order they came; the last 4 MiB of it. */
  output(): string;
  stdout(): string;
  stderr(): string;
  /** Types something. */
  write(text: string): void;
  /** Resolves when its output from `from` (a position in `output()`) on matches. Rejects when it ends before, or after `timeoutMs`, by default 30 s. */
  saw(pattern: RegExp | string, options?: { from?: number; timeoutMs?: number }): Promise<void>;
  /** Its exit code, 128 + signal's number never: null when a signal ended it. */
  exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

const maxKept = 4 * 1024 * 1024;

/** Starts a program and keeps what it says. */
export function background(
  command: string[],
  { env, cwd }: { env?: NodeJS.ProcessEnv | undefined; cwd?: string | undefined } = {},
): Background {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(env && { env: { ...process.env, ...env } }),
    ...(cwd && { cwd }),
  });
  const kept = { all: "", stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  const hear = (stream: "stdout" | "stderr") => (chunk: Buffer) => {
    const text = chunk.toString("utf8");
    kept.all = (kept.all + text).slice(-maxKept);
    kept[stream] = (kept[stream] + text).slice(-maxKept);
    for (const listener of listeners) listener();
  };
  child.stdout.on("data", hear("stdout"));
  child.stderr.on("data", hear("stderr"));
  child.stdin.on("error", () => {}); // it may end before it has read all
  let ended = false;
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      ended = true;
      resolve({ code, signal });
      for (const listener of listeners) listener();
    });
  });
  exit.catch(() => {}); // told to whoever asks

  const saw: Background["saw"] = async (pattern, { from = 0, timeoutMs = 30_000 } = {}) => {
    const late = AbortSignal.timeout(timeoutMs);
    await new Promise<void>((resolve, reject) => {
      const check = () => {
        const text = kept.all.slice(from);
        const found = typeof pattern === "string" ? text.includes(pattern) : pattern.test(text);
        if (!found && !ended && !late.aborted) return;
        listeners.delete(check);
        late.removeEventListener("abort", check);
        const why = ended ? "it ended" : `it was not there after ${timeoutMs} ms`;
        if (found) resolve();
        else reject(new Error(`${command.join(" ")}: waiting for ${pattern}: ${why}; it said:\n${text.slice(-4000)}`));
      };
      listeners.add(check);
      late.addEventListener("abort", check);
      check();
    });
  };

  return {
    child,
    pid: child.pid ?? 0,
    output: () => kept.all,
    stdout: () => kept.stdout,
    stderr: () => kept.stderr,
    write: (text) => void child.stdin.write(text),
    saw,
    exit,
    async [Symbol.asyncDispose]() {
      if (ended || child.pid === undefined) return;
      const closed = once(child, "close");
      child.kill("SIGKILL");
      child.stdout.destroy(); // a grandchild may hold the pipes
      child.stderr.destroy();
      await closed;
    },
  };
}

/**
 * Starts a program on a terminal of its own (util-linux's `script`), 24 rows by 80 columns. The program's own pid is
 * the child of the one this answers.
 */
export function onTerminal(
  command: string[],
  options: { env?: NodeJS.ProcessEnv | undefined; rows?: number; columns?: number } = {},
): Background {
  const { rows = 24, columns = 80 } = options;
  const line = `stty rows ${rows} cols ${columns}; exec ${command.map(quote).join(" ")}`;
  return background(["script", "--quiet", "--return", "--flush", "--command", line, "/dev/null"], {
    env: { TERM: "xterm", ...options.env },
  });
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
