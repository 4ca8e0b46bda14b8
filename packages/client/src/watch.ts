import type { KubernetesObject, WatchEvent } from "@hawser/api";
import { notJSON, parseJSON } from "./body.ts";
import type { KubeClient, WatchOptions } from "./client.ts";
import { lines } from "./lines.ts";
import type { Query } from "./query.ts";
import { askedWhenQuiet } from "./quiet.ts";
import { pathOf, type ResourceRef } from "./ref.ts";

/** Bytes of one watch event: twice the 3 MiB that an API server lets one object have, and some. */
const maxEventBytes = 16 * 1024 * 1024;

/** See KubeClient.watch. `peerTimeoutMs`: how long it may be quiet, and a question about that unanswered. */
export async function* watch<T extends KubernetesObject>(
  { client, peerTimeoutMs }: { client: Pick<KubeClient, "stream" | "request">; peerTimeoutMs: number },
  ref: ResourceRef,
  { signal, ...options }: WatchOptions,
): AsyncGenerator<WatchEvent<T>> {
  const { name: _, ...collection } = ref;
  const request = { method: "GET", path: pathOf(collection), query: watchQuery(ref, options) };
  if (signal?.aborted) return;
  try {
    const open = async (signal: AbortSignal | undefined) =>
      (await client.stream({ ...request, accept: "application/json", signal })).body;
    const ask = (signal: AbortSignal, timeoutMs: number) =>
      client.request({ method: "GET", path: "/version", accept: "*/*", signal, timeoutMs });
    const body = askedWhenQuiet(open, { client, peer: "server", peerTimeoutMs, ask, signal });
    for await (const line of lines(body, maxEventBytes)) {
      if (line.trim() === "") continue;
      const event = parseJSON(line) as WatchEvent<T>;
      if (!event || typeof event !== "object" || typeof event.type !== "string") throw notJSON(line);
      yield event;
    }
  } catch (error) {
    if (signal?.aborted) return;
    throw error;
  }
}

/** One object is watched as the collection narrowed to its name: there is no watch on a single path any more. */
function watchQuery(ref: ResourceRef, options: Omit<WatchOptions, "signal">): Query {
  const one = ref.name ? `metadata.name=${ref.name}` : undefined;
  const fieldSelector = [options.fieldSelector, one].filter(Boolean).join(",") || undefined;
  const match = options.sendInitialEvents
    ? (options.resourceVersionMatch ?? "NotOlderThan")
    : options.resourceVersionMatch;
  return { ...options, fieldSelector, resourceVersionMatch: match, watch: true };
}
