import { readFile } from "node:fs/promises";

interface Counters {
  bytes: bigint;
  packets: bigint;
  errors: bigint;
  dropped: bigint;
}

/** What an interface has carried since it came. */
export interface InterfaceCounters {
  name: string;
  received: Counters;
  sent: Counters;
}

/** The interfaces of a process' network namespace but for its loopback, eth0 first. Source: proc(5), /proc/PID/net/dev */
export async function networkCounters(pid: number): Promise<InterfaceCounters[]> {
  const text = await readFile(`/proc/${pid}/net/dev`, "utf8").catch(() => "");
  const all = text.split("\n").flatMap((line) => {
    const [name, numbers] = line.split(":");
    const fields = numbers?.trim().split(/\s+/) ?? [];
    if (!name || name.trim() === "lo" || fields.length < 16) return [];
    const from = (index: number): Counters => {
      const field = (offset: number) => BigInt(fields[index + offset] ?? 0);
      return { bytes: field(0), packets: field(1), errors: field(2), dropped: field(3) };
    };
    return [{ name: name.trim(), received: from(0), sent: from(8) }];
  });
  return all.sort((a, b) => Number(b.name === "eth0") - Number(a.name === "eth0"));
}
