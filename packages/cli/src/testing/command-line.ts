import { PassThrough } from "node:stream";
import type { InputStream, IO, OutputStream } from "../io.ts";
import { run } from "../run.ts";

export interface Invocation {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Terminal {
  /** Whether raw mode was switched on and off, in order. */
  modes: boolean[];
  stdin: PassThrough;
  stdout: PassThrough;
  resize(columns: number, rows: number): void;
  /** As after a stop. */
  goOn(): void;
}

export interface CommandLineOptions {
  server?: string;
  /** All of stdin; without it stdin stays open and silent. */
  input?: string;
  /** stdin and stdout are a terminal. */
  terminal?: boolean;
  signal?: AbortSignal;
  env?: NodeJS.ProcessEnv;
}

/** Runs one command line in this process, on streams of its own. */
export function commandLine(
  argv: string[],
  { server, input, terminal = false, signal = new AbortController().signal, env = {} }: CommandLineOptions = {},
): { result: Promise<Invocation>; terminal: Terminal } {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const modes: boolean[] = [];
  const streams = {
    stdin: Object.assign(stdin, { isTTY: terminal, setRawMode: (raw: boolean) => modes.push(raw) }) as InputStream,
    stdout: Object.assign(stdout, { isTTY: terminal, columns: 80, rows: 24 }) as OutputStream,
  };
  if (input !== undefined) stdin.end(input);
  const continued = new Set<() => void>();
  const io: IO = {
    ...streams,
    stderr,
    env: { HOME: "/no/such/home", ...env },
    onContinue(listener) {
      continued.add(listener);
      return () => continued.delete(listener);
    },
  };
  const [out, err] = [collect(stdout), collect(stderr)];
  const result = run([...(server ? ["--server", server] : []), ...argv], { io, signal }).then((code) => ({
    code,
    stdout: out(),
    stderr: err(),
  }));
  return {
    result,
    terminal: {
      modes,
      stdin,
      stdout,
      resize(columns, rows) {
        Object.assign(stdout, { columns, rows });
        stdout.emit("resize");
      },
      goOn() {
        for (const listener of continued) listener();
      },
    },
  };
}

function collect(stream: PassThrough): () => string {
  const parts: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => parts.push(chunk));
  return () => Buffer.concat(parts).toString("utf8");
}
