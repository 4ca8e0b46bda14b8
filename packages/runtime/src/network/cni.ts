import { stat } from "node:fs/promises";
import path from "node:path";
import { endWorkers } from "../half-made.ts";
import type { Reaper } from "../native/reaper.ts";
import { run } from "../native/spawn.ts";
import { workingOn } from "../native/worker.ts";

export interface CNI {
  reaper: Reaper;
  /** Where the plugins are: /usr/lib/cni on Debian. Several directories are separated by colons, as in PATH. */
  binDir: string;
  /** How long a plugin may take, milliseconds; then it is killed. */
  timeoutMs: number;
}

/** One plugin of a network's list. What is not named here is the plugin's alone. */
export interface Plugin {
  type: string;
  /** The plugin that gives out addresses, which is called by this one. */
  ipam?: { type?: string; [key: string]: unknown };
  /** What it wants to be told of a pod, as its `runtimeConfig`. */
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A plugin's configuration, as it is told. */
export interface PluginConfig extends Plugin {
  cniVersion: string;
  name: string;
}

/** What a plugin answers to ADD: of its own making, to be looked at with care. */
export type CNIResult = Record<string, unknown>;

export interface Attachment {
  containerId: string;
  netns: string;
  ifName: string;
  /** CNI_ARGS, as containerd gives it. */
  args?: Record<string, string>;
}

/** Longest answer of a plugin, characters: it goes into the pod's record, and on to the next plugin. */
const maxResultLength = 16 * 1024;

/** Of Debian's package, those that pods are connected by. */
const debians = new Set(
  "bandwidth bridge firewall host-local ipvlan loopback macvlan portmap ptp static tuning".split(" "),
);

type Verb = "ADD" | "DEL" | "STATUS";

/** A plugin's refusal, in its own words. Source: containernetworking/cni SPEC.md, section 5 */
export class CNIError extends Error {
  override readonly name: string = "CNIError";
}

/** A plugin, or the one that gives out its addresses, is not there. */
export class MissingPluginError extends CNIError {
  override readonly name = "MissingPluginError";
}

/**
 * Runs one CNI plugin. ADD gives its result; DEL succeeds too when there is nothing left; STATUS, which needs no attachment,
 * when it can serve an ADD. Throws CNIError, and MissingPluginError when it or its IPAM plugin is not there.
 *
 * Source: containernetworking/cni SPEC.md, section 2
 */
export async function plugin(
  cni: CNI,
  command: Verb,
  config: PluginConfig,
  attachment?: Attachment,
): Promise<CNIResult> {
  try {
    return await call(cni, command, config, attachment);
  } catch (cause) {
    const absent = await missingPlugins(cni.binDir, [config]);
    // Where addresses are given out may be a plugin's own matter: then its words are of something else.
    const missing = absent.find((name) => name === config.type || String(cause).includes(name));
    if (missing === undefined) throw cause;
    const remedy = debians.has(missing) ? "; on Debian: apt-get install containernetworking-plugins" : "";
    throw new MissingPluginError(`CNI plugin ${missing} is not in ${cni.binDir}${remedy}`, { cause });
  }
}

/** The names of those that are not in `binDir`, with the plugins that give out their addresses; each once. */
export async function missingPlugins(binDir: string, plugins: readonly Plugin[]): Promise<string[]> {
  const names = new Set(plugins.flatMap(({ type, ipam }) => (ipam?.type ? [type, ipam.type] : [type])));
  const found = await Promise.all([...names].map((name) => find(binDir, name)));
  return [...names].filter((_, index) => found[index] === undefined);
}

async function find(binDir: string, name: string): Promise<string | undefined> {
  for (const directory of binDir.split(":")) {
    const file = path.join(directory, name);
    const found = await stat(file).catch(() => undefined);
    if (found?.isFile()) return file;
  }
  return undefined;
}

async function call(
  { reaper, binDir, timeoutMs }: CNI,
  command: Verb,
  config: PluginConfig,
  attachment?: Attachment,
): Promise<CNIResult> {
  const late = AbortSignal.timeout(timeoutMs);
  const mark = attachment?.containerId ?? `cni-${process.pid}`;
  const program = binDir.includes(":") ? await find(binDir, config.type) : undefined;
  const { code, stdout, stderr } = await run(
    { reaper },
    {
      path: program ?? path.join(binDir, config.type),
      args: [],
      env: {
        CNI_COMMAND: command,
        CNI_PATH: binDir,
        ...(attachment && {
          CNI_CONTAINERID: attachment.containerId,
          CNI_NETNS: attachment.netns,
          CNI_IFNAME: attachment.ifName,
        }),
        ...workingOn(mark),
        ...(attachment?.args && {
          CNI_ARGS: Object.entries({ IgnoreUnknown: "1", ...attachment.args })
            .map(([name, value]) => `${name}=${value.replaceAll(/[;=]/g, "_")}`)
            .join(";"),
        }),
      },
      input: JSON.stringify(config),
      signal: late,
    },
  ).catch(async (cause: unknown) => {
    if (!late.aborted) throw cause;
    // It was killed; what it has started, its IPAM plugin, was not.
    await endWorkers(mark);
    throw new CNIError(`CNI plugin ${config.type}, ${command}: no answer within ${timeoutMs / 1000} s`, { cause });
  });
  if (code !== 0)
    throw new CNIError(
      `CNI plugin ${config.type}, ${command}: ${words(stdout) ?? (stderr.trim() || `exit status ${code}`)}`,
    );
  return command === "ADD" && stdout.trim() ? parseResult(stdout, `CNI plugin ${config.type}, ${command}`) : {};
}

function parseResult(stdout: string, who: string): CNIResult {
  if (stdout.length > maxResultLength)
    throw new CNIError(`${who}: its answer has more than ${maxResultLength} characters`);
  try {
    const result: unknown = JSON.parse(stdout);
    if (typeof result === "object" && result !== null && !Array.isArray(result)) return result as CNIResult;
  } catch (cause) {
    throw new CNIError(`${who}: its answer is no JSON: ${stdout.trim().slice(0, 200)}`, { cause });
  }
  throw new CNIError(`${who}: its answer is no object: ${stdout.trim().slice(0, 200)}`);
}

function words(stdout: string): string | undefined {
  try {
    const { msg, details } = JSON.parse(stdout) as { msg?: string; details?: string };
    return [msg, details].filter(Boolean).join(": ") || undefined;
  } catch {
    return undefined;
  }
}
