import { readFile } from "node:fs/promises";
import type { Host } from "./host.ts";
import type { Process } from "./types.ts";

/** By number. Source: setrlimit(2), asm-generic/resource.h */
const names = [
  ...["cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending"],
  ...["msgqueue", "nice", "rtprio", "rttime"],
];

/** Limits as they are set: `nofile: 1024:524288`, the soft one and the hard one, or one number for both. */
export type RlimitSettings = Readonly<Record<string, string | number>>;

/** setrlimit(2)'s number of what the OCI calls RLIMIT_NOFILE and so on. Throws for a name that does not exist. */
export function rlimitNumber(type: string): number {
  const number = names.findIndex((name) => typeOf(name) === type);
  if (number < 0) throw new Error(`invalid rlimit \`${type}\``);
  return number;
}

/** The hard limits that /proc/PID/limits tells, by RLIMIT_ name; absent for unlimited. Its lines come in setrlimit's order. */
export function hardLimits(text: string): Map<string, number> {
  const [, ...lines] = text.split("\n");
  const hard = names.map(
    (name, number) => [typeOf(name), Number(/^.{25} \S+ +(\S+)/.exec(lines[number] ?? "")?.[1])] as const,
  );
  return new Map(hard.filter(([, limit]) => !Number.isNaN(limit)));
}

/** Throws an Error that names the setting for what is no limit. */
export function checkRlimits(value: unknown): RlimitSettings {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error('setting "rlimits" has to be a mapping');
  }
  for (const [name, limit] of Object.entries(value)) {
    if (!names.includes(name)) throw new Error(`setting "rlimits": "${name}" is none of ${names.join(", ")}`);
    const limits = numbersOf(limit);
    if (limits.some((number) => !Number.isSafeInteger(number)) || limits.length > 2) {
      throw new Error(`setting "rlimits.${name}" has to be a number, or two as in 1024:4096, up to 2^53 - 1`);
    }
    const [soft = 0, hard = soft] = limits;
    if (soft > hard) throw new Error(`setting "rlimits.${name}": ${soft} is more than the hard limit ${hard}`);
  }
  return value as RlimitSettings; // each was looked at
}

/**
 * Throws an Error for a hard limit of files above `most`: by default the kernel's, which nobody may exceed, so that no container
 * could be made. Source: setrlimit(2), fs.nr_open
 */
export async function checkFilesLimit({ nofile }: RlimitSettings, most = mostFiles): Promise<void> {
  if (nofile === undefined) return;
  const [hard = 0, limit] = [numbersOf(nofile).at(-1), await most()];
  if (hard <= limit) return;
  throw new Error(`setting "rlimits.nofile": ${hard} is more than this kernel allows, ${limit} (sysctl fs.nr_open)`);
}

async function mostFiles(): Promise<number> {
  return Number(await readFile("/proc/sys/fs/nr_open", "utf8"));
}

/**
 * The limits of a container's processes, in the OCI's words; undefined where none are set: then they are the runtime's own. Hard
 * ones above the runtime's own are these, where it lacks the capability to raise them.
 */
export function rlimitsFor(
  host: Pick<Host, "rlimits" | "capabilities">,
  settings: RlimitSettings,
): Process["rlimits"] | undefined {
  const mayRaise = host.capabilities.has("CAP_SYS_RESOURCE");
  const limits = Object.entries(settings).map(([name, value]) => {
    const type = typeOf(name);
    const most = mayRaise ? Number.POSITIVE_INFINITY : (host.rlimits.get(type) ?? Number.POSITIVE_INFINITY);
    const [soft = 0, hard = soft] = numbersOf(value);
    return { type, soft: Math.min(soft, most), hard: Math.min(hard, most) };
  });
  return limits.length > 0 ? limits : undefined;
}

function numbersOf(value: unknown): number[] {
  if (typeof value !== "string" && typeof value !== "number") return [Number.NaN];
  return String(value)
    .split(":")
    .map((text) => (/^\d+$/.test(text) ? Number(text) : Number.NaN));
}

function typeOf(name: string): string {
  return `RLIMIT_${name.toUpperCase()}`;
}
