import type {
  ListContainersRequest,
  ListContainersResponseSchema,
  MessageInitShape,
  StreamContainersRequest,
  StreamContainersResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { describeContainer } from "./describe.ts";
import { containerMatches, parts } from "./filters.ts";

/** CRI ListContainers: those that pass the filter. */
export async function listContainers(
  { containers }: Pick<Context, "containers">,
  { filter }: Pick<ListContainersRequest, "filter">,
): Promise<MessageInitShape<typeof ListContainersResponseSchema>> {
  return {
    containers: containers
      .list()
      .filter((record) => containerMatches(filter, record))
      .map(describeContainer),
  };
}

/** CRI StreamContainers: the same in parts. */
export async function* streamContainers(
  { containers }: Pick<Context, "containers">,
  { filter }: StreamContainersRequest,
): AsyncGenerator<MessageInitShape<typeof StreamContainersResponseSchema>> {
  const found = containers.list().filter((record) => containerMatches(filter, record));
  for (const part of parts(found)) yield { containers: part.map(describeContainer) };
}
