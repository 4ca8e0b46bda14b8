import type { Container, CRIConnection, Image, PodSandbox } from "@hawser/cri";
import { shown } from "./output.ts";

export const kinds = ["container", "sandbox", "image"] as const;
export type Kind = (typeof kinds)[number];
export interface Found {
  kind: Kind;
  id: string;
}

/** Candidates an error names. */
const maxNamed = 10;

interface Things {
  containers: Container[];
  sandboxes: PodSandbox[];
  images: Image[];
}

/**
 * What people mean by a word: a whole id, then a name, then the beginning of an id. With equal names a container comes before
 * a sandbox before an image. Throws an Error when there is nothing, or more than one.
 */
export async function find(
  cri: CRIConnection,
  word: string,
  { among = kinds, signal }: { among?: readonly Kind[]; signal: AbortSignal },
): Promise<Found> {
  const has = (kind: Kind) => among.includes(kind);
  const needSandboxes = has("container") || has("sandbox"); // containers are told apart by their sandboxes
  const things: Things = {
    containers: has("container") ? (await cri.runtime.listContainers({}, { signal })).containers : [],
    sandboxes: needSandboxes ? (await cri.runtime.listPodSandbox({}, { signal })).items : [],
    images: has("image") ? (await cri.images.listImages({}, { signal })).images : [],
  };
  const all: Found[] = [
    ...things.containers.map(({ id }) => ({ kind: "container" as const, id })),
    ...(has("sandbox") ? things.sandboxes.map(({ id }) => ({ kind: "sandbox" as const, id })) : []),
    ...things.images.map(({ id }) => ({ kind: "image" as const, id })),
  ];
  const hex = (id: string) => id.replace(/^sha256:/, "");
  const exact = all.find(({ id }) => hex(id) === hex(word));
  if (exact) return exact;

  if (has("container")) {
    const named = newestOfName(things, word);
    if (named.length > 0) return only(word, named, things);
  }
  if (has("sandbox")) {
    const named = things.sandboxes
      .filter(({ metadata }) => [metadata?.name, `${metadata?.namespace}/${metadata?.name}`].includes(word))
      .map(({ id }): Found => ({ kind: "sandbox", id }));
    if (named.length > 0) return only(word, named, things);
  }
  if (has("image") && !/^[0-9a-f]+$/.test(word)) {
    // The runtime knows what a short name stands for. What is hex may be the beginning of an id, which it would take too.
    const { image } = await cri.images.imageStatus({ image: { image: word } }, { signal });
    if (image) return { kind: "image", id: image.id };
  }
  const begun = /^(sha256:)?[0-9a-f]+$/.test(word) ? all.filter(({ id }) => hex(id).startsWith(hex(word))) : [];
  if (begun.length === 0)
    throw new Error(`no ${among.length === 1 ? among[0] : "container, sandbox or image"} "${word}" here`);
  return only(word, begun, things);
}

/** Containers of a name, the newest of each pod: restarts are one container to people, and so are a pod's sandboxes. */
function newestOfName({ containers, sandboxes }: Things, word: string): Found[] {
  const pods = new Map(sandboxes.map(({ id, metadata }) => [id, `${metadata?.namespace}/${metadata?.name}`]));
  const newest = new Map<string, Container>();
  for (const container of containers) {
    if (container.metadata?.name !== word) continue;
    const pod = pods.get(container.podSandboxId) ?? container.podSandboxId;
    const known = newest.get(pod);
    if (!known || container.createdAt > known.createdAt) newest.set(pod, container);
  }
  return [...newest.values()].map(({ id }) => ({ kind: "container", id }));
}

function only(word: string, found: Found[], things: Things): Found {
  const [first, second] = found;
  if (first && !second) return first;
  const lines = found
    .slice(0, maxNamed)
    .map(({ kind, id }) => `  ${kind} ${shown(id, false)}  ${nameOf(kind, id, things)}`);
  const more = found.length > maxNamed ? `\n  and ${found.length - maxNamed} more` : "";
  throw new Error(
    `"${word}" could be ${found.length} things; say more of an id, or --type:\n${lines.join("\n")}${more}`,
  );
}

function nameOf(kind: Kind, id: string, { containers, sandboxes, images }: Things): string {
  const podName = (podId: string) => {
    const metadata = sandboxes.find((sandbox) => sandbox.id === podId)?.metadata;
    return metadata ? `${metadata.namespace}/${metadata.name}` : podId;
  };
  if (kind === "sandbox") return podName(id);
  if (kind === "image") return images.find((image) => image.id === id)?.repoTags[0] ?? "";
  const container = containers.find((each) => each.id === id);
  return container ? `${container.metadata?.name} of ${podName(container.podSandboxId)}` : "";
}
