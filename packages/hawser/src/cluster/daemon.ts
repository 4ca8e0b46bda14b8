import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { heapFlags, runtimeHeapFlags } from "@hawser/runtime/heap-flags";
import { type ClusterPaths, type Hop, logFile, pidFile } from "./paths.ts";
import { identify, isAlive, type ProcessIdentity } from "./proc.ts";

/** In every daemon's environment, so that `down` finds those whose pid file was lost. The value is the data directory. */
export const markName = "HAWSER_CLUSTER";

/** Turns a daemon's command line into the one that is really started, for instance inside a network namespace. */
export type Launcher = (hop: Hop, command: string[]) => string[];

/** The program of this package: the bundle when there is one, the sources otherwise. */
export function hawserProgram(): string {
  const home = join(import.meta.dirname, import.meta.filename.endsWith(".ts") ? "../.." : "..");
  const bundle = join(home, "dist/main.cjs");
  return existsSync(bundle) && !process.env.HAWSER_SOURCE ? bundle : join(home, "src/main.ts");
}

export interface Daemon {
  hop: Hop;
  identity: ProcessIdentity;
  /** Rejects when the process ends; never resolves. Only of daemons that this process started. */
  died: Promise<never>;
  /** Where in its log this run begins, in bytes. */
  logOffset: number;
}

/**
 * Starts `hawser HOP ARGS` in a session of its own, its output appended to its log, and writes its pid file. The
 * daemon outlives this process.
 */
export async function startDaemon(
  { paths, launcher = (_hop, command) => command }: { paths: ClusterPaths; launcher?: Launcher },
  hop: Hop,
  args: string[],
): Promise<Daemon> {
  await mkdir(paths.log, { recursive: true });
  await using log = await open(logFile(paths, hop), "a", 0o640);
  const logOffset = (await log.stat()).size;
  const flags = hop === "runtime" ? runtimeHeapFlags() : heapFlags;
  const [program = "", ...rest] = launcher(hop, [process.execPath, ...flags, hawserProgram(), hop, ...args]);
  const child = spawn(program, rest, {
    cwd: "/",
    detached: true,
    env: { ...process.env, [markName]: paths.dataDir },
    stdio: ["ignore", log.fd, log.fd],
  });
  const died = exitOf(child, hop, paths, logOffset);
  died.catch(() => {}); // whoever waits for readiness races it; later nobody does
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (!identity) return died; // it ended at once: the rejection says how
  const record: DaemonRecord = { ...identity, logOffset };
  await writeFile(pidFile(paths, hop), `${JSON.stringify(record)}\n`);
  child.unref();
  return { hop, identity, died, logOffset };
}

function exitOf(child: ChildProcess, hop: Hop, paths: ClusterPaths, offset: number): Promise<never> {
  return new Promise((_resolve, reject) => {
    child.on("error", (cause) => reject(new Error(`cannot start the ${hop}: ${cause.message}`, { cause })));
    child.on("exit", (code, signal) => {
      const how = signal === null ? `exit code ${code}` : signal;
      lastLines(paths, hop, offset).then((lines) => {
        reject(new Error(`the ${hop} ended at once (${how}); the end of ${logFile(paths, hop)}:\n${lines}`));
      }, reject);
    });
  });
}

/** The end of what a daemon said in this run, indented for an error message. At most 12 lines of its last 8 KiB. */
export async function lastLines(paths: ClusterPaths, hop: Hop, offset = 0): Promise<string> {
  const text = (await readFile(logFile(paths, hop), "utf8").catch(() => "")).slice(offset).slice(-8192).trimEnd();
  const lines = text.split("\n").slice(-12);
  return lines.map((line) => `  ${line}`).join("\n");
}

/** What a pid file holds. */
export interface DaemonRecord extends ProcessIdentity {
  /** Where in its log this run began, in bytes. */
  logOffset: number;
}

/** The daemon its pid file speaks of; undefined when there is none or it is gone. */
export async function runningDaemon(paths: ClusterPaths, hop: Hop): Promise<DaemonRecord | undefined> {
  const text = await readFile(pidFile(paths, hop), "utf8").catch(() => undefined);
  const record = text === undefined ? undefined : parseRecord(text);
  return record && (await isAlive(record)) ? record : undefined;
}

function parseRecord(text: string): DaemonRecord | undefined {
  try {
    const { pid, startTime, bootId, logOffset = 0 }: Partial<DaemonRecord> = JSON.parse(text);
    const whole = typeof pid === "number" && typeof startTime === "number" && typeof bootId === "string";
    return whole ? { pid, startTime, bootId, logOffset } : undefined;
  } catch {
    return undefined; // cut short by a crash: the same as none
  }
}
