import { access } from "node:fs/promises";
import path from "node:path";
import type { Reaper } from "../native/reaper.ts";
import { run } from "../native/spawn.ts";
import { workingOn } from "../native/worker.ts";

export interface CNI {
  reaper: Reaper;
  /** Where the plugins are: /usr/lib/cni on Debian. */
  binDir: string;
  /** How long a plugin may take, milliseconds; then it is killed. */
  timeoutMs: number;
}

/** A plugin's configuration: one object of a network's list, with name and cniVersion. */
export interface PluginConfig {
  cniVersion: string;
  name: string;
  type: string;
  /** The plugin that gives out addresses, which is called by this one. */
  ipam?: { type: string; [key: string]: unknown };
  [key: string]: unknown;
}

export interface CNIResult {
  ips?: { address: string; gateway?: string; interface?: number }[];
  interfaces?: { name: string; mac?: string; sandbox?: string }[];
  [key: string]: unknown;
}

export interface Attachment {
  containerId: string;
  netns: string;
  ifName: string;
  /** CNI_ARGS, as containerd gives it. */
  args?: Record<string, string>;
}

/** A plugin's refusal, in its own words. Source: containernetworking/cni SPEC.md, section 5 */
export class CNIError extends Error {
  override readonly name: string = "CNIError";
}

/** A plugin, or one that it calls, is not there. */
export class MissingPluginError extends CNIError {
  override readonly name = "MissingPluginError";
}

/**
 * Runs one CNI plugin. ADD gives its result; DEL succeeds too when there is nothing left. Throws CNIError, and
 * MissingPluginError when it or its IPAM plugin is not there.
 *
 * Source: containernetworking/cni SPEC.md, section 2
 */
export async function plugin(
  cni: CNI,
  command: "ADD" | "DEL",
  config: PluginConfig,
  attachment: Attachment,
): Promise<CNIResult> {
  try {
    return await call(cni, command, config, attachment);
  } catch (cause) {
    const missing = await missingOf(cni.binDir, [config.type, ...(config.ipam ? [config.ipam.type] : [])]);
    if (missing === undefined) throw cause;
    throw new MissingPluginError(
      `CNI plugin ${missing} is not in ${cni.binDir}; on Debian: apt-get install containernetworking-plugins`,
      { cause },
    );
  }
}

async function missingOf(binDir: string, names: string[]): Promise<string | undefined> {
  for (const name of names) {
    const found = await access(path.join(binDir, name)).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== "ENOENT",
    );
    if (!found) return name;
  }
  return undefined;
}

async function call(
  { reaper, binDir, timeoutMs }: CNI,
  command: "ADD" | "DEL",
  config: PluginConfig,
  attachment: Attachment,
): Promise<CNIResult> {
  const late = AbortSignal.timeout(timeoutMs);
  const { code, stdout, stderr } = await run(
    { reaper },
    {
      path: path.join(binDir, config.type),
      args: [],
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: attachment.containerId,
        CNI_NETNS: attachment.netns,
        CNI_IFNAME: attachment.ifName,
        CNI_PATH: binDir,
        ...workingOn(attachment.containerId),
        ...(attachment.args && {
          CNI_ARGS: Object.entries({ IgnoreUnknown: "1", ...attachment.args })
            .map(([name, value]) => `${name}=${value.replaceAll(/[;=]/g, "_")}`)
            .join(";"),
        }),
      },
      input: JSON.stringify(config),
      signal: late,
    },
  ).catch((cause: unknown) => {
    if (!late.aborted) throw cause;
    throw new CNIError(`CNI plugin ${config.type}, ${command}: no answer within ${timeoutMs / 1000} s`, { cause });
  });
  if (code !== 0)
    throw new CNIError(
      `CNI plugin ${config.type}, ${command}: ${words(stdout) ?? (stderr.trim() || `exit status ${code}`)}`,
    );
  return stdout.trim() ? parseResult(stdout, `CNI plugin ${config.type}, ${command}`) : {};
}

function parseResult(stdout: string, who: string): CNIResult {
  try {
    return JSON.parse(stdout) as CNIResult;
  } catch (cause) {
    throw new CNIError(`${who}: its answer is no JSON: ${stdout.trim().slice(0, 200)}`, { cause });
  }
}

function words(stdout: string): string | undefined {
  try {
    const { msg, details } = JSON.parse(stdout) as { msg?: string; details?: string };
    return msg && details ? `${msg}: ${details}` : msg;
  } catch {
    return undefined;
  }
}
