import { type ChildProcess, spawn } from "node:child_process";
import { CredentialError } from "./credentials.ts";
import type { ExecConfig } from "./file.ts";

/** Bytes of a plugin's answer. */
const maxAnswerBytes = 1024 * 1024;
/** Milliseconds a plugin may take; it may have a person log in meanwhile. */
const maxMs = 10 * 60_000;
/** Milliseconds from SIGTERM to SIGKILL. */
const graceMs = 2_000;

export interface PluginRun {
  env: NodeJS.ProcessEnv;
  interactive: boolean;
  /** Aborting ends the plugin. */
  signal: AbortSignal;
  /** Default 10 minutes. */
  timeoutMs?: number;
}

/** Runs a credential plugin and resolves with what it wrote to stdout. Throws CredentialError for anything but exit code 0. */
export async function runPlugin(
  { command, args, installHint }: ExecConfig,
  { env, interactive, signal, timeoutMs = maxMs }: PluginRun,
): Promise<string> {
  signal.throwIfAborted();
  const child = spawn(command, args ?? [], { env, stdio: [interactive ? "inherit" : "ignore", "pipe", "inherit"] });
  let ended: string | undefined;
  const end = (why: string) => {
    ended ??= why;
    stop(child);
  };
  const onAbort = () => end("nobody waits for it any more");
  const timer = setTimeout(() => end(`it was not done within ${timeoutMs / 1000}s`), timeoutMs);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      const parts: Buffer[] = [];
      let length = 0;
      child.stdout?.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > maxAnswerBytes) end(`it answered more than ${maxAnswerBytes} bytes`);
        else parts.push(chunk);
      });
      child.once("error", (cause: NodeJS.ErrnoException) => {
        const why = cause.code === "ENOENT" ? `executable ${command} not found` : cause.message;
        const hint = installHint ? `\n\n${installHint}` : "";
        reject(new CredentialError(`getting credentials: exec: ${why}${hint}`, { cause }));
      });
      child.once("close", (code, killedBy) => {
        const how = ended ?? (killedBy ? `signal ${killedBy}` : `exit code ${code}`);
        if (code === 0 && !ended) resolve(Buffer.concat(parts).toString("utf8"));
        else reject(new CredentialError(`getting credentials: exec: executable ${command} failed with ${how}`));
      });
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** What it has started may hold its stdout open: that is not waited for. */
function stop(child: ChildProcess): void {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs).unref();
  child.once("exit", () => {
    clearTimeout(timer);
    child.stdout?.destroy();
  });
}
