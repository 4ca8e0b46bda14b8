import { readFile } from "node:fs/promises";
import path from "node:path";
import type { CgroupMode } from "../oci/probe.ts";
import { controllerPath } from "./paths.ts";

/** What a cgroup has used. Bytes and nanoseconds; absent what the kernel does not tell. */
export interface CgroupUsage {
  cpuNanoseconds?: bigint;
  /** Over the time since the last reading; absent at the first. */
  nanoCores?: bigint;
  memoryBytes?: bigint;
  workingSetBytes?: bigint;
  rssBytes?: bigint;
  pageFaults?: bigint;
  majorPageFaults?: bigint;
  memoryLimitBytes?: bigint;
  swapBytes?: bigint;
  processes?: bigint;
  /** When it was read, nanoseconds since 1970. */
  timestamp: bigint;
}

/** Containers whose last CPU reading is remembered. */
const maxRemembered = 10_000;
/** A limit above this is none. Source: linux include/linux/page_counter.h (v1 says "no limit" so) */
const noLimit = 2n ** 62n;

/** Reads usage from cgroup v1 or v2. Remembers the last CPU reading of each cgroup, to tell the rate. */
export class Usage {
  readonly #mode: CgroupMode;
  readonly #mount: string | undefined;
  readonly #now: () => bigint;
  readonly #last = new Map<string, { cpu: bigint; at: bigint }>();

  /** `mount` is where the hierarchies are, if it is not the usual place. */
  constructor({ mode, now, mount }: { mode: CgroupMode; now: () => bigint; mount?: string }) {
    this.#mode = mode;
    this.#mount = mount;
    this.#now = now;
  }

  async read(cgroup: string): Promise<CgroupUsage> {
    const usage = this.#mode === "v2" ? await this.#readV2(cgroup) : await this.#readV1(cgroup);
    const nanoCores = this.#rate(cgroup, usage);
    return { ...usage, ...(nanoCores !== undefined && { nanoCores }) };
  }

  forget(cgroup: string): void {
    this.#last.delete(cgroup);
  }

  async #readV1(cgroup: string): Promise<CgroupUsage> {
    const file = (controller: string, name: string) =>
      path.join(controllerPath(this.#mode, cgroup, controller, this.#mount), name);
    const [cpu, memory, limit, memsw, processes, stat] = await Promise.all([
      number(file("cpuacct", "cpuacct.usage")),
      number(file("memory", "memory.usage_in_bytes")),
      number(file("memory", "memory.limit_in_bytes")),
      number(file("memory", "memory.memsw.usage_in_bytes")),
      number(file("pids", "pids.current")),
      table(file("memory", "memory.stat")),
    ]);
    return known({
      timestamp: this.#now(),
      cpuNanoseconds: cpu,
      memoryBytes: memory,
      workingSetBytes: lessCache(memory, stat.get("total_inactive_file")),
      rssBytes: stat.get("total_rss"),
      pageFaults: stat.get("total_pgfault"),
      majorPageFaults: stat.get("total_pgmajfault"),
      memoryLimitBytes: limit !== undefined && limit < noLimit ? limit : undefined,
      swapBytes: memsw !== undefined && memory !== undefined && memsw >= memory ? memsw - memory : undefined,
      processes,
    });
  }

  async #readV2(cgroup: string): Promise<CgroupUsage> {
    const file = (name: string) => path.join(controllerPath(this.#mode, cgroup, "", this.#mount), name);
    const [cpu, memory, limit, swap, processes, stat] = await Promise.all([
      table(file("cpu.stat")),
      number(file("memory.current")),
      number(file("memory.max")),
      number(file("memory.swap.current")),
      number(file("pids.current")),
      table(file("memory.stat")),
    ]);
    const micros = cpu.get("usage_usec");
    return known({
      timestamp: this.#now(),
      cpuNanoseconds: micros === undefined ? undefined : micros * 1000n,
      memoryBytes: memory,
      workingSetBytes: lessCache(memory, stat.get("inactive_file")),
      rssBytes: stat.get("anon"),
      pageFaults: stat.get("pgfault"),
      majorPageFaults: stat.get("pgmajfault"),
      memoryLimitBytes: limit,
      swapBytes: swap,
      processes,
    });
  }

  #rate(cgroup: string, { cpuNanoseconds: cpu, timestamp: at }: CgroupUsage): bigint | undefined {
    if (cpu === undefined) return undefined;
    const last = this.#last.get(cgroup);
    if (this.#last.size >= maxRemembered) this.#last.clear();
    this.#last.set(cgroup, { cpu, at });
    if (!last || at <= last.at || cpu < last.cpu) return undefined;
    return ((cpu - last.cpu) * 1_000_000_000n) / (at - last.at);
  }
}

function lessCache(memory: bigint | undefined, cache: bigint | undefined): bigint | undefined {
  if (memory === undefined) return undefined;
  return memory > (cache ?? 0n) ? memory - (cache ?? 0n) : 0n;
}

async function number(file: string): Promise<bigint | undefined> {
  const text = (await readFile(file, "utf8").catch(() => "")).trim();
  return /^\d+$/.test(text) ? BigInt(text) : undefined;
}

async function table(file: string): Promise<Map<string, bigint>> {
  const text = await readFile(file, "utf8").catch(() => "");
  return new Map(
    text.split("\n").flatMap((line): [string, bigint][] => {
      const [name, value] = line.split(" ");
      return name && value && /^\d+$/.test(value) ? [[name, BigInt(value)]] : [];
    }),
  );
}

/** The members that are known. */
function known(usage: { [K in keyof CgroupUsage]: CgroupUsage[K] | undefined }): CgroupUsage {
  const entries = Object.entries(usage).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as unknown as CgroupUsage; // timestamp is always among them
}
