import { setTimeout as delay } from "node:timers/promises";
import { Code, ContainerState, type CRIConnection, CRIError, isNotFound } from "@hawser/cri";
import { readLog } from "@hawser/kubelet/logs";
import { find } from "./find.ts";
import { count, parseFlags } from "./flags.ts";
import { MisuseError, type NodeIO, write } from "./io.ts";
import type { Verb } from "./verb.ts";

/** How often a follower asks whether the container still runs, milliseconds. */
const askPeriod = 1_000;

const flags = {
  "container-id": { type: "string" },
  follow: { type: "boolean", short: "f", default: false },
  tail: { type: "string" },
  since: { type: "string" },
  timestamps: { type: "boolean", short: "t", default: false },
} as const;

/** Source: kubernetes-sigs/cri-tools cmd/crictl/logs.go */
export const logs: Verb = (argv) => {
  const { values, positionals } = parseFlags(argv, flags, [0, 1]);
  const word = values["container-id"] ?? positionals[0];
  if (!values.help && (word === undefined || (values["container-id"] !== undefined && positionals.length > 0)))
    throw new MisuseError("one container: its name, the beginning of its id, or --container-id ID");
  // kubectl's -1 means all.
  const tail = values.tail === undefined || values.tail === "-1" ? undefined : count("--tail", values.tail, 0);
  const since = values.since === undefined ? undefined : sinceTime(values.since, Date.now());
  return {
    values,
    async run({ io, cri }) {
      const { id } = await find(cri, word ?? "", { among: ["container"], signal: io.signal });
      const { status } = await cri.runtime.containerStatus({ containerId: id }, io);
      if (!status?.logPath) throw new Error(`container ${id} has no log`);
      using running = values.follow ? watchState(cri, id, io.signal) : undefined;
      const options = { logFile: status.logPath, tailLines: tail, since, signal: io.signal };
      const lines = readLog({ ...options, ...(running && { follow: running.runs }) });
      await print(io, lines, values.timestamps);
      io.signal.throwIfAborted();
    },
  };
};

/** One write per batch and stream, in order. A line that comes in parts has its time before the first. */
async function print({ stdout, stderr, signal }: NodeIO, batches: ReturnType<typeof readLog>, timestamps: boolean) {
  const midLine = { stdout: false, stderr: false };
  for await (const batch of batches) {
    let parts: Uint8Array[] = [];
    let to = batch[0]?.stream ?? "stdout";
    const flush = async () => {
      if (parts.length > 0) await write(to === "stdout" ? stdout : stderr, Buffer.concat(parts), signal);
      parts = [];
    };
    for (const { stream, time, content } of batch) {
      if (stream !== to) await flush();
      to = stream;
      if (timestamps && !midLine[stream]) parts.push(Buffer.from(`${time} `));
      parts.push(content);
      midLine[stream] = content.at(-1) !== 0x0a;
    }
    await flush();
  }
}

/** Asks the runtime each second. One that does not answer, while it is started again, has its containers still. */
function watchState({ runtime }: CRIConnection, containerId: string, signal: AbortSignal) {
  let runs = true;
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const ask = async () => {
    while (runs) {
      try {
        const { status } = await runtime.containerStatus({ containerId }, { signal: both });
        runs = status?.state === ContainerState.CONTAINER_RUNNING || status?.state === ContainerState.CONTAINER_CREATED;
      } catch (error) {
        both.throwIfAborted();
        const restarting =
          error instanceof CRIError && [Code.Unavailable, Code.Canceled].some((code) => code === error.code);
        if (!restarting && !isNotFound(error)) throw error;
        runs = restarting;
      }
      await delay(askPeriod, undefined, { signal: both });
    }
  };
  ask().catch(() => {
    runs = false; // what cannot be asked any more is not waited for
  });
  return {
    runs: () => runs,
    [Symbol.dispose]: () => stop.abort(),
  };
}

/** `10s`, `1h30m` before `now`, or a time itself; milliseconds since 1970. */
export function sinceTime(text: string, now: number): number {
  const units = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
  if (/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)];
    return now - parts.reduce((sum, [, value, unit]) => sum + Number(value) * units[unit as keyof typeof units], 0); // one of those four
  }
  const time = /^\d{4}-\d\d-\d\d([T ]|$)/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new MisuseError(`--since "${text}": such as 10s, 5m, 3h, or an RFC 3339 time`);
  return time;
}
