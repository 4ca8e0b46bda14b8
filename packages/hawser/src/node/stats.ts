import { setTimeout as delay } from "node:timers/promises";
import { type ContainerStats, type CRIConnection, ListContainerStatsResponseSchema } from "@hawser/cri";
import { find } from "./find.ts";
import { count, labelSelector, listFlags, outputFormat, parseFlags } from "./flags.ts";
import { MisuseError, type NodeIO, write } from "./io.ts";
import { bytes, document, plain, shown, table } from "./output.ts";
import type { Verb } from "./verb.ts";

const flags = {
  ...listFlags,
  pod: { type: "string", short: "p" },
  watch: { type: "boolean", short: "w", default: false },
  seconds: { type: "string", default: "1" },
} as const;

/** Clears a terminal, and goes to its top. */
const clear = "\u001b[2J\u001b[H";

/** Source: kubernetes-sigs/cri-tools cmd/crictl/stats.go */
export const stats: Verb = (argv) => {
  const { values, positionals } = parseFlags(argv, flags, [0, 1000]);
  const format = outputFormat(values.output, ["table", "json", "yaml"], "table");
  const milliseconds = count("--seconds", values.seconds, 1) * 1000;
  if (values.watch && format !== "table") throw new MisuseError("--watch shows a table: no --output then");
  const filter = { labelSelector: labelSelector(values.label), podSandboxId: values.pod ?? "" };
  return {
    values,
    async run({ io, cri }) {
      const ids = new Set<string>();
      for (const word of positionals) ids.add((await find(cri, word, { among: ["container"], signal: io.signal })).id);
      const read = async () => {
        const answer = await cri.runtime.listContainerStats({ filter }, io);
        const wanted = answer.stats.filter(({ attributes }) => ids.size === 0 || ids.has(attributes?.id ?? ""));
        return { ...answer, stats: wanted.sort((a, b) => Number(nameOf(a) > nameOf(b)) || -1) };
      };
      if (format !== "table") {
        await write(io.stdout, document(plain(ListContainerStatsResponseSchema, await read()), format), io.signal);
        return;
      }
      const pods = await podNames(cri, io);
      let before = (await read()).stats;
      do {
        await delay(milliseconds, undefined, io);
        const now = (await read()).stats;
        const onTerminal = values.watch && "isTTY" in io.stdout && io.stdout.isTTY;
        const text = statsTable(before, now, { pods, whole: values["no-trunc"] });
        await write(io.stdout, onTerminal ? clear + text : text, io.signal);
        before = now;
      } while (values.watch);
    },
  };
};

function statsTable(
  before: ContainerStats[],
  now: ContainerStats[],
  { pods, whole }: { pods: Map<string, string>; whole: boolean },
): string {
  const earlier = new Map(before.map((each) => [each.attributes?.id, each]));
  const rows = now.map((each) => {
    const { attributes, memory, writableLayer } = each;
    const id = attributes?.id ?? "";
    return [
      shown(id, whole),
      nameOf(each),
      pods.get(id) ?? "",
      cpuPercent(earlier.get(id), each),
      optional(memory?.workingSetBytes?.value),
      optional(writableLayer?.usedBytes?.value),
      String(writableLayer?.inodesUsed?.value ?? "-"),
    ];
  });
  return table([["CONTAINER", "NAME", "POD", "CPU %", "MEMORY", "DISK", "INODES"], ...rows]);
}

/** Of one CPU, between two looks. `-` when there was no earlier one, or the runtime does not say. */
export function cpuPercent(before: ContainerStats | undefined, now: ContainerStats): string {
  const [from, to] = [before?.cpu, now.cpu];
  const [used, had] = [to?.usageCoreNanoSeconds?.value, from?.usageCoreNanoSeconds?.value];
  const elapsed = Number((to?.timestamp ?? 0n) - (from?.timestamp ?? 0n));
  if (used === undefined || had === undefined || elapsed <= 0) return "-";
  return ((Math.max(0, Number(used - had)) / elapsed) * 100).toFixed(2);
}

async function podNames({ runtime }: CRIConnection, io: NodeIO): Promise<Map<string, string>> {
  const names = new Map(
    (await runtime.listPodSandbox({}, io)).items.map(({ id, metadata }) => [id, metadata?.name ?? ""]),
  );
  const { containers } = await runtime.listContainers({}, io);
  return new Map(containers.map(({ id, podSandboxId }) => [id, names.get(podSandboxId) ?? ""]));
}

function nameOf({ attributes }: ContainerStats): string {
  return attributes?.metadata?.name ?? "";
}

function optional(value: bigint | undefined): string {
  return value === undefined ? "-" : bytes(value);
}
