import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

export interface CommandOptions {
  /** Written to its stdin, which is then closed. Without it, stdin is empty. */
  input?: string | Uint8Array | undefined;
  env?: NodeJS.ProcessEnv | undefined;
  cwd?: string | undefined;
  /** Milliseconds until it is killed; default 60 s. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface CommandResult {
  /** 128 + the signal's number when a signal ended it, as a shell has it. */
  code: number;
  stdout: string;
  stderr: string;
  milliseconds: number;
}

/** How much of each output is kept, bytes; a command that says more is killed. */
const maxOutput = 64 * 1024 * 1024;

/** Runs a command to its end. A non-zero exit is a result. Throws when it cannot be started, or was too slow. */
export async function run(command: string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { input, env, cwd, timeoutMs = 60_000, signal } = options;
  const [program = "", ...args] = command;
  const late = AbortSignal.timeout(timeoutMs);
  const stop = signal ? AbortSignal.any([signal, late]) : late;
  const begin = performance.now();
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    killSignal: "SIGKILL",
    signal: stop,
    ...(env && { env: { ...process.env, ...env } }),
    ...(cwd && { cwd }),
  });
  child.on("error", () => {}); // told below, or the signal says it
  child.stdin.on("error", () => {}); // it may end without reading its input
  child.stdin.end(input);
  const outputs = [collect(child, child.stdout), collect(child, child.stderr)];
  try {
    // By the signal too: where it has ended itself, and a child of its own keeps its outputs open.
    const [code, killedBy] = await once(child, "close", { signal: stop });
    const [stdout = "", stderr = ""] = await Promise.all(outputs);
    return { code: code ?? 128 + signalNumber(killedBy), stdout, stderr, milliseconds: performance.now() - begin };
  } catch (cause) {
    child.stdout.destroy();
    child.stderr.destroy();
    const [stdout = "", stderr = ""] = await Promise.all(outputs);
    const why = late.aborted ? `was not done after ${timeoutMs} ms` : cause instanceof Error ? cause.message : "failed";
    throw new Error(`${command.join(" ")}: ${why}\nstdout: ${stdout.slice(-2000)}\nstderr: ${stderr.slice(-2000)}`, {
      cause,
    });
  }
}

/** As `run`, and throws with what it said when it does not end with 0. Resolves with its stdout. */
export async function must(command: string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, options);
  if (code !== 0)
    throw new Error(`${command.join(" ")}: exit code ${code}\n${stdout.slice(-2000)}${stderr.slice(-4000)}`);
  return stdout;
}

async function collect(child: ChildProcess, stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      size += chunk.length;
      if (size > maxOutput) child.kill("SIGKILL");
      else chunks.push(chunk);
    }
  } catch {
    // Its death cuts the pipe; the exit code tells.
  }
  return Buffer.concat(chunks).toString("utf8");
}

function signalNumber(name: NodeJS.Signals | null): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGKILL: 9,
    SIGTERM: 15,
  };
  return (name && numbers[name]) ?? 0;
}
