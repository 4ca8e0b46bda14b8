import type { KubeClient } from "@hawser/client";
import { CommandError } from "../errors.ts";
import { findCategory, findType, type ResourceType } from "./resources.ts";

/** What the arguments of get and delete ask for: objects by name, or whole collections. */
export type Targets =
  | {
      by: "name";
      items: { type: ResourceType; name: string }[] /** One object was meant, not a list of one. */;
      single: boolean;
    }
  | { by: "collection"; types: ResourceType[] };

export interface TargetOptions {
  program: string;
  /** A selector or --all was given: names make no sense beside it. */
  selecting: boolean;
  allNamespaces: boolean;
  /** Types without a name mean their collections, as get has it. */
  collections: boolean;
}

const missing = `You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'`;

/**
 * Reads `TYPE[,TYPE] [NAME…]` and `TYPE/NAME …`. Throws CommandError in kubectl's words.
 *
 * Source: kubernetes/cli-runtime pkg/resource/builder.go
 */
export async function readTargets(
  client: Pick<KubeClient, "request">,
  args: readonly string[],
  options: TargetOptions,
): Promise<Targets> {
  if (args.length === 0) throw new CommandError(missing);
  if (args.some((arg) => arg.includes("/"))) return await pairs(client, args, options);
  const [words = "", ...names] = args;
  const types = await typesOf(client, words);
  if (options.selecting) {
    if (names.length > 0) throw new CommandError("name cannot be provided when a selector is specified");
    return { by: "collection", types };
  }
  if (names.length === 0) {
    if (options.collections) return { by: "collection", types };
    throw new CommandError("resource(s) were provided, but no name was specified");
  }
  const items = types.flatMap((type) => names.map((name) => ({ type, name })));
  refuseEmptyNames(items);
  refuseAllNamespaces(items, options);
  return { by: "name", items, single: items.length === 1 };
}

async function pairs(
  client: Pick<KubeClient, "request">,
  args: readonly string[],
  options: TargetOptions,
): Promise<Targets> {
  const { program } = options;
  if (!args.every((arg) => arg.includes("/"))) {
    throw new CommandError(
      `there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. '${program} get resource/<resource_name>' instead of '${program} get resource resource/<resource_name>'`,
    );
  }
  if (options.selecting) {
    throw new CommandError("selectors and the all flag cannot be used when passing resource/name arguments");
  }
  const items = await Promise.all(args.map((arg) => readPair(client, arg)));
  refuseAllNamespaces(items, options);
  return { by: "name", items, single: items.length === 1 };
}

/** `TYPE/NAME`. */
export async function readPair(
  client: Pick<KubeClient, "request">,
  arg: string,
): Promise<{ type: ResourceType; name: string }> {
  const [word = "", name = "", ...more] = arg.split("/");
  if (more.length > 0) throw new CommandError("arguments in resource/name form may not have more than one slash");
  if (!word || !name || word.includes(",")) {
    throw new CommandError("arguments in resource/name form must have a single resource and name");
  }
  return { type: await findType(client, word), name };
}

async function typesOf(client: Pick<KubeClient, "request">, words: string): Promise<ResourceType[]> {
  const found: ResourceType[] = [];
  for (const word of words.split(",")) {
    if (!word) throw new CommandError(missing);
    const types = await findCategory(client, word);
    for (const type of types.length > 0 ? types : [await findType(client, word)]) {
      if (!found.some((each) => each.apiVersion === type.apiVersion && each.resource === type.resource))
        found.push(type);
    }
  }
  return found;
}

function refuseEmptyNames(items: { name: string }[]): void {
  if (items.some(({ name }) => name === "")) throw new CommandError("resource name may not be empty");
}

function refuseAllNamespaces(items: { type: ResourceType }[], { allNamespaces }: TargetOptions): void {
  if (allNamespaces && items.some(({ type }) => type.namespaced)) {
    throw new CommandError("a resource cannot be retrieved by name across all namespaces");
  }
}
