import type {
  ListPodSandboxRequest,
  ListPodSandboxResponseSchema,
  MessageInitShape,
  StreamPodSandboxesRequest,
  StreamPodSandboxesResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { describeSandbox } from "./describe.ts";
import { parts, sandboxMatches } from "./filters.ts";

/** CRI ListPodSandbox: those that pass the filter. */
export async function listPodSandbox(
  { sandboxes }: Pick<Context, "sandboxes">,
  { filter }: Pick<ListPodSandboxRequest, "filter">,
): Promise<MessageInitShape<typeof ListPodSandboxResponseSchema>> {
  return {
    items: sandboxes
      .list()
      .filter((record) => sandboxMatches(filter, record))
      .map(describeSandbox),
  };
}

/** CRI StreamPodSandboxes: the same in parts. */
export async function* streamPodSandboxes(
  { sandboxes }: Pick<Context, "sandboxes">,
  { filter }: StreamPodSandboxesRequest,
): AsyncGenerator<MessageInitShape<typeof StreamPodSandboxesResponseSchema>> {
  const found = sandboxes.list().filter((record) => sandboxMatches(filter, record));
  for (const part of parts(found)) yield { podSandboxes: part.map(describeSandbox) };
}
