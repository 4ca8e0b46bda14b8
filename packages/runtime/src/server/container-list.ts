import {
  type EncodedMessage,
  type ListContainersRequest,
  ListContainersResponseSchema,
  listEncoder,
  type MessageInitShape,
  type StreamContainersRequest,
  type StreamContainersResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import type { ContainerRecord } from "../store/records.ts";
import { describeContainer } from "./describe.ts";
import { containerMatches, parts } from "./filters.ts";

/** A kubelet lists all of them each second: of a container that has not changed, the bytes are there. */
const encodeContainers = listEncoder(ListContainersResponseSchema, (record: ContainerRecord) => ({
  containers: [describeContainer(record)],
}));

/** CRI ListContainers: those that pass the filter. */
export async function listContainers(
  { containers }: Pick<Context, "containers">,
  { filter }: Pick<ListContainersRequest, "filter">,
): Promise<EncodedMessage<typeof ListContainersResponseSchema>> {
  return encodeContainers(containers.list().filter((record) => containerMatches(filter, record)));
}

/** CRI StreamContainers: the same in parts. */
export async function* streamContainers(
  { containers }: Pick<Context, "containers">,
  { filter }: StreamContainersRequest,
): AsyncGenerator<MessageInitShape<typeof StreamContainersResponseSchema>> {
  const found = containers.list().filter((record) => containerMatches(filter, record));
  for (const part of parts(found)) yield { containers: part.map(describeContainer) };
}
