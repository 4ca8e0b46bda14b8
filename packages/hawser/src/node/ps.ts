import { type Container, ContainerState, type CRIConnection, ListContainersResponseSchema } from "@hawser/cri";
import { count, labelSelector, listFlags, oneOf, outputFormat, parseFlags, pattern } from "./flags.ts";
import { MisuseError, write } from "./io.ts";
import { age, document, plain, shown, table } from "./output.ts";
import { runPods } from "./pods.ts";
import type { Verb, VerbContext } from "./verb.ts";

const states = ["created", "running", "exited", "unknown"] as const;

const flags = {
  ...listFlags,
  all: { type: "boolean", short: "a", default: false },
  state: { type: "string", short: "s" },
  pod: { type: "string", short: "p" },
  name: { type: "string" },
  last: { type: "string", short: "n" },
  latest: { type: "boolean", short: "l", default: false },
  quiet: { type: "boolean", short: "q", default: false },
  pods: { type: "boolean", default: false },
} as const;

/** Source: kubernetes-sigs/cri-tools cmd/crictl/container.go */
export const ps: Verb = (argv) => {
  if (argv.includes("--pods")) {
    // Every state anyhow, as -a asks.
    const rest = argv.filter((word) => !["--pods", "-a", "--all"].includes(word));
    return runPods(rest);
  }
  const { values } = parseFlags(argv, flags, [0, 0]);
  const format = outputFormat(values.output, ["table", "json", "yaml"], "table");
  const selector = labelSelector(values.label);
  const named = values.name === undefined ? undefined : pattern("--name", values.name);
  const state = values.state === undefined ? undefined : oneOf("--state", values.state, states);
  if (values.latest && values.last !== undefined) throw new MisuseError("--last or --latest, not both");
  const last = values.latest ? 1 : values.last === undefined ? undefined : count("--last", values.last, 1);
  const everyState = values.all || last !== undefined;
  const wanted = state ?? (everyState ? undefined : "running");
  return {
    values,
    async run(context) {
      const { io, cri } = context;
      const filter = {
        labelSelector: selector,
        podSandboxId: values.pod ?? "",
        ...(wanted && { state: { state: stateNumber(wanted) } }),
      };
      const answer = await cri.runtime.listContainers({ filter }, io);
      const found = answer.containers
        .filter(({ metadata }) => !named || named.test(metadata?.name ?? ""))
        .sort((a, b) => Number(b.createdAt - a.createdAt))
        .slice(0, last);
      const text =
        format !== "table"
          ? document(plain(ListContainersResponseSchema, { ...answer, containers: found }), format)
          : values.quiet
            ? found.map(({ id }) => `${id}\n`).join("")
            : await psTable(context, found, values["no-trunc"]);
      await write(io.stdout, text, io.signal);
    },
  };
};

async function psTable({ io, cri, now }: VerbContext, containers: Container[], whole: boolean): Promise<string> {
  const pods = new Map((await cri.runtime.listPodSandbox({}, io)).items.map(({ id, metadata }) => [id, metadata]));
  const imageName = await imageNames(cri, containers, io.signal);
  const rows = containers.map(({ id, metadata, createdAt, state, podSandboxId, ...container }) => [
    shown(id, whole),
    imageName(container.image?.userSpecifiedImage || container.image?.image || container.imageRef),
    age(createdAt, now()),
    stateName(state),
    metadata?.name ?? "",
    String(metadata?.attempt ?? 0),
    shown(podSandboxId, whole),
    pods.get(podSandboxId)?.name ?? "",
    pods.get(podSandboxId)?.namespace ?? "",
  ]);
  const head = ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"];
  return table([head, ...rows]);
}

/** A kubelet makes containers of image ids: people know names. */
async function imageNames({ images }: CRIConnection, containers: Container[], signal: AbortSignal) {
  const isId = (name: string) => /^(sha256:)?[0-9a-f]{64}$/.test(name);
  const all = containers.map(({ image, imageRef }) => image?.userSpecifiedImage || image?.image || imageRef);
  const names = new Map<string, string>();
  if (all.some(isId)) {
    for (const { id, repoTags } of (await images.listImages({}, { signal })).images) {
      if (repoTags[0] !== undefined) names.set(id.replace(/^sha256:/, ""), repoTags[0]);
    }
  }
  return (name: string) => (isId(name) ? (names.get(name.replace(/^sha256:/, "")) ?? shown(name, false)) : name);
}

function stateNumber(state: (typeof states)[number]): ContainerState {
  return {
    created: ContainerState.CONTAINER_CREATED,
    running: ContainerState.CONTAINER_RUNNING,
    exited: ContainerState.CONTAINER_EXITED,
    unknown: ContainerState.CONTAINER_UNKNOWN,
  }[state];
}

function stateName(state: ContainerState): string {
  const name = states.find((each) => stateNumber(each) === state) ?? "unknown";
  return name.charAt(0).toUpperCase() + name.slice(1);
}
