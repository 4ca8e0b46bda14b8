import { isUtf8 } from "node:buffer";
import { open } from "node:fs/promises";
import { readHead } from "@hawser/files";

/** Interfaces of a pod that are told of; a container that may make some can make thousands. */
const maxInterfaces = 64;
/** What is read of them, bytes: some 2,000 interfaces, among which eth0 is looked for. */
const maxBytes = 256 * 1024;

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

/**
 * The interfaces of a process' network namespace but for its loopback, eth0 first, 64 at most. Those whose names are not UTF-8 are
 * left out: all that neither protobuf nor Prometheus can say of such names is the same for each. `proc` is where /proc is.
 *
 * Source: proc(5), /proc/PID/net/dev
 */
export async function networkCounters(pid: number, proc = "/proc"): Promise<InterfaceCounters[]> {
  const found = new Map<string, string>();
  for (const line of await linesOf(`${proc}/${pid}/net/dev`)) {
    // As dev_valid_name() of Linux has it: any bytes but a slash, a colon and white space.
    const [, bytes = "", numbers = ""] = /^ *([^\s:]+):\s*(\d[\d\s]*)$/.exec(line) ?? [];
    const name = Buffer.from(bytes, "latin1");
    if (bytes && bytes !== "lo" && isUtf8(name)) found.set(name.toString("utf8"), numbers);
  }
  const [first, others] = [found.get("eth0"), [...found].filter(([name]) => name !== "eth0")];
  const all: [string, string][] = first === undefined ? others : [["eth0", first], ...others];
  return all.slice(0, maxInterfaces).map(([name, numbers]) => countersOf(name, numbers.trim().split(/\s+/)));
}

/** Its whole lines, each byte a character; none when the process is gone. */
async function linesOf(file: string): Promise<string[]> {
  try {
    await using opened = await open(file);
    const text = (await readHead(opened, maxBytes)).toString("latin1");
    return text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  } catch {
    return [];
  }
}

function countersOf(name: string, fields: string[]): InterfaceCounters {
  const from = (index: number): Counters => {
    const field = (offset: number) => BigInt(fields[index + offset] ?? 0);
    return { bytes: field(0), packets: field(1), errors: field(2), dropped: field(3) };
  };
  return { name, received: from(0), sent: from(8) };
}
