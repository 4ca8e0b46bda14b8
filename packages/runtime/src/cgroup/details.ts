import { readFile, readlink } from "node:fs/promises";
import path from "node:path";
import type { CgroupMode } from "../oci/probe.ts";
import { controllerPath } from "./paths.ts";

/** What a cgroup, with those below it, has done on one block device. */
export interface DeviceUsage {
  /** Such as /dev/sda; MAJOR:MINOR of one that the node has no more. */
  device: string;
  readBytes: bigint;
  reads: bigint;
  writtenBytes: bigint;
  writes: bigint;
}

type Counters = Omit<DeviceUsage, "device">;

/** What metrics tell of a cgroup beside its usage. Bytes and nanoseconds; absent what the kernel does not tell. */
export interface CgroupDetails {
  userNanoseconds?: bigint | undefined;
  systemNanoseconds?: bigint | undefined;
  periods?: bigint | undefined;
  throttledPeriods?: bigint | undefined;
  throttledNanoseconds?: bigint | undefined;
  cacheBytes?: bigint | undefined;
  kernelBytes?: bigint | undefined;
  mappedFileBytes?: bigint | undefined;
  mostBytes?: bigint | undefined;
  /** How often a limit of memory was met; v1 alone counts it so. */
  limitHits?: bigint | undefined;
  oomKills?: bigint | undefined;
  /** The limit of processes and threads; 0 for none. */
  mostThreads?: bigint | undefined;
  devices?: DeviceUsage[] | undefined;
}

/** USER_HZ is 100 wherever Node runs. Source: time(7) */
const tick = 10_000_000n;

/** Reads them anew: a dozen files. `mount` is where the hierarchies are, if it is not the usual place. */
export async function readDetails(
  { mode, mount }: { mode: CgroupMode; mount?: string | undefined },
  cgroup: string,
): Promise<CgroupDetails> {
  const text = async (controller: string, name: string) => {
    const file = path.join(controllerPath(mode, cgroup, controller, mount), name);
    return await readFile(file, "utf8").catch(() => undefined);
  };
  const details = mode === "v2" ? await readV2((name) => text("", name)) : await readV1(text);
  const named = details.devices?.map(async (usage) => ({ ...usage, device: await nameOf(usage.device) }));
  return { ...details, devices: named && (await Promise.all(named)) };
}

/** Source: Linux Documentation/ABI/stable/sysfs-block */
async function nameOf(numbers: string): Promise<string> {
  const link = await readlink(`/sys/dev/block/${numbers}`).catch(() => undefined);
  return link === undefined ? numbers : `/dev/${path.basename(link)}`;
}

async function readV1(text: (controller: string, name: string) => Promise<string | undefined>): Promise<CgroupDetails> {
  const [cpuacct, cpu, stat, kernel, most, hits, oom, threads, bytes, operations] = await Promise.all([
    text("cpuacct", "cpuacct.stat"),
    text("cpu", "cpu.stat"),
    text("memory", "memory.stat"),
    text("memory", "memory.kmem.usage_in_bytes"),
    text("memory", "memory.max_usage_in_bytes"),
    text("memory", "memory.failcnt"),
    text("memory", "memory.oom_control"),
    text("pids", "pids.max"),
    text("blkio", "blkio.throttle.io_service_bytes_recursive"),
    text("blkio", "blkio.throttle.io_serviced_recursive"),
  ]);
  const [times, quota, memory] = [table(cpuacct), table(cpu), table(stat)];
  return {
    userNanoseconds: times(["user"], tick),
    systemNanoseconds: times(["system"], tick),
    periods: quota(["nr_periods"]),
    throttledPeriods: quota(["nr_throttled"]),
    throttledNanoseconds: quota(["throttled_time"]),
    cacheBytes: memory(["total_cache"]),
    kernelBytes: number(kernel),
    mappedFileBytes: memory(["total_mapped_file"]),
    mostBytes: number(most),
    limitHits: number(hits),
    oomKills: table(oom)(["oom_kill"]),
    mostThreads: number(threads, 0n),
    devices: bytes === undefined ? undefined : devicesV1(bytes, operations ?? ""),
  };
}

async function readV2(text: (name: string) => Promise<string | undefined>): Promise<CgroupDetails> {
  const [cpu, stat, most, events, threads, io] = await Promise.all(
    ["cpu.stat", "memory.stat", "memory.peak", "memory.events", "pids.max", "io.stat"].map(text),
  );
  const [times, memory] = [table(cpu), table(stat)];
  return {
    userNanoseconds: times(["user_usec"], 1000n),
    systemNanoseconds: times(["system_usec"], 1000n),
    periods: times(["nr_periods"]),
    throttledPeriods: times(["nr_throttled"]),
    throttledNanoseconds: times(["throttled_usec"], 1000n),
    cacheBytes: memory(["file"]),
    kernelBytes: memory(["kernel"]) ?? memory(["slab", "kernel_stack", "pagetables"]), // the one from Linux 5.18 on
    mappedFileBytes: memory(["file_mapped"]),
    mostBytes: number(most),
    oomKills: table(events)(["oom_kill"]),
    mostThreads: number(threads, 0n),
    devices: io === undefined ? undefined : devicesV2(io),
  };
}

/** Lines of a device, what was done, and how much. Source: Linux Documentation/admin-guide/cgroup-v1/blkio-controller.rst */
function devicesV1(bytes: string, operations: string): DeviceUsage[] {
  const found = new Map<string, DeviceUsage>();
  const add = (text: string, { read, written }: { read: keyof Counters; written: keyof Counters }) => {
    for (const [, device = "", what = "", count = "0"] of text.matchAll(/^(\d+:\d+) (Read|Write) (\d+)$/gm)) {
      const usage = found.get(device) ?? { device, readBytes: 0n, reads: 0n, writtenBytes: 0n, writes: 0n };
      found.set(device, { ...usage, [what === "Read" ? read : written]: BigInt(count) });
    }
  };
  add(bytes, { read: "readBytes", written: "writtenBytes" });
  add(operations, { read: "reads", written: "writes" });
  return [...found.values()];
}

/** A line for each device: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`. Source: Linux Documentation/admin-guide/cgroup-v2.rst */
function devicesV2(text: string): DeviceUsage[] {
  return text.split("\n").flatMap((line) => {
    const [device = "", ...pairs] = line.split(" ");
    if (!/^\d+:\d+$/.test(device)) return [];
    const values = pairsOf(pairs, "=");
    const of = (name: string) => number(values.get(name)) ?? 0n;
    return [{ device, readBytes: of("rbytes"), reads: of("rios"), writtenBytes: of("wbytes"), writes: of("wios") }];
  });
}

/** Of a file with a name and a number on each line: the sum of the named, in so many units; undefined if one is not there. */
function table(text = "") {
  const lines = pairsOf(text.split("\n"), " ");
  return (names: string[], unit = 1n): bigint | undefined => {
    let sum = 0n;
    for (const name of names) {
      const value = number(lines.get(name));
      if (value === undefined) return undefined;
      sum += value;
    }
    return sum * unit;
  };
}

function pairsOf(texts: string[], separator: string): Map<string, string> {
  return new Map(
    texts.map((text): [string, string] => {
      const [name = "", value = ""] = text.split(separator);
      return [name, value];
    }),
  );
}

/** `max` where there is no limit. */
function number(text: string | undefined, max?: bigint): bigint | undefined {
  const word = text?.trim() ?? "";
  if (word === "max") return max;
  return /^\d+$/.test(word) ? BigInt(word) : undefined;
}
