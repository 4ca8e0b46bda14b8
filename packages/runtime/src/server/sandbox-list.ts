import {
  type EncodedMessage,
  type ListPodSandboxRequest,
  ListPodSandboxResponseSchema,
  listEncoder,
  type MessageInitShape,
  type StreamPodSandboxesRequest,
  type StreamPodSandboxesResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import type { SandboxRecord } from "../store/records.ts";
import { describeSandbox } from "./describe.ts";
import { parts, sandboxMatches } from "./filters.ts";

const encodeSandboxes = listEncoder(ListPodSandboxResponseSchema, (record: SandboxRecord) => ({
  items: [describeSandbox(record)],
}));

/** CRI ListPodSandbox: those that pass the filter. */
export async function listPodSandbox(
  { sandboxes }: Pick<Context, "sandboxes">,
  { filter }: Pick<ListPodSandboxRequest, "filter">,
): Promise<EncodedMessage<typeof ListPodSandboxResponseSchema>> {
  return encodeSandboxes(sandboxes.list().filter((record) => sandboxMatches(filter, record)));
}

/** CRI StreamPodSandboxes: the same in parts. */
export async function* streamPodSandboxes(
  { sandboxes }: Pick<Context, "sandboxes">,
  { filter }: StreamPodSandboxesRequest,
): AsyncGenerator<MessageInitShape<typeof StreamPodSandboxesResponseSchema>> {
  const found = sandboxes.list().filter((record) => sandboxMatches(filter, record));
  for (const part of parts(found)) yield { podSandboxes: part.map(describeSandbox) };
}
