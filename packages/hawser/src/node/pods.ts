import { ListPodSandboxResponseSchema, type PodSandbox, PodSandboxState } from "@hawser/cri";
import { count, labelSelector, listFlags, oneOf, outputFormat, parseFlags, pattern } from "./flags.ts";
import { MisuseError, write } from "./io.ts";
import { age, document, plain, shown, table } from "./output.ts";
import type { Line } from "./verb.ts";

const flags = {
  ...listFlags,
  state: { type: "string", short: "s" },
  name: { type: "string" },
  namespace: { type: "string" },
  last: { type: "string", short: "n" },
  latest: { type: "boolean", short: "l", default: false },
  quiet: { type: "boolean", short: "q", default: false },
} as const;

/** Source: kubernetes-sigs/cri-tools cmd/crictl/sandbox.go */
export function runPods(argv: string[]): Line {
  const { values } = parseFlags(argv, flags, [0, 0]);
  const format = outputFormat(values.output, ["table", "json", "yaml"], "table");
  const selector = labelSelector(values.label);
  const named = values.name === undefined ? undefined : pattern("--name", values.name);
  const state = values.state === undefined ? undefined : oneOf("--state", values.state, ["ready", "notready"]);
  if (values.latest && values.last !== undefined) throw new MisuseError("--last or --latest, not both");
  const last = values.latest ? 1 : values.last === undefined ? undefined : count("--last", values.last, 1);
  const wanted = state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
  return {
    values,
    async run({ io, cri, now }) {
      const filter = { labelSelector: selector, ...(state && { state: { state: wanted } }) };
      const answer = await cri.runtime.listPodSandbox({ filter }, io);
      const found = answer.items
        .filter(({ metadata }) => !named || named.test(metadata?.name ?? ""))
        .filter(({ metadata }) => values.namespace === undefined || metadata?.namespace === values.namespace)
        .sort((a, b) => Number(b.createdAt - a.createdAt))
        .slice(0, last);
      const text =
        format !== "table"
          ? document(plain(ListPodSandboxResponseSchema, { ...answer, items: found }), format)
          : values.quiet
            ? found.map(({ id }) => `${id}\n`).join("")
            : podTable(found, now(), values["no-trunc"]);
      await write(io.stdout, text, io.signal);
    },
  };
}

function podTable(pods: PodSandbox[], now: number, whole: boolean): string {
  const rows = pods.map(({ id, createdAt, state, metadata, runtimeHandler }) => [
    shown(id, whole),
    age(createdAt, now),
    state === PodSandboxState.SANDBOX_READY ? "Ready" : "NotReady",
    metadata?.name ?? "",
    metadata?.namespace ?? "",
    String(metadata?.attempt ?? 0),
    runtimeHandler || "(default)",
  ]);
  return table([["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"], ...rows]);
}
