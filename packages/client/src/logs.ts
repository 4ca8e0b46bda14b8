import { type PodLogOptions, podLogOptionsQuery } from "@hawser/api";
import type { KubeClient } from "./client.ts";
import { pathOf } from "./ref.ts";

export interface LogsOptions extends Partial<PodLogOptions> {
  namespace: string;
  pod: string;
  /** Called when the server has begun its answer: what fails from then on has broken off. */
  onAnswer?: (() => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The log of a container, as bytes. With `follow` it goes on until the container ends or the iteration is left.
 * Throws StatusError, ConnectionError (also when it is cut short), and the signal's reason.
 */
export async function* logs(client: Pick<KubeClient, "stream">, options: LogsOptions): AsyncGenerator<Uint8Array> {
  const { namespace, pod, onAnswer, signal, ...query } = options;
  const path = pathOf({ resource: "pods", namespace, name: pod, subresource: "log" });
  try {
    const { body } = await client.stream({ method: "GET", path, query: podLogOptionsQuery(query), signal });
    onAnswer?.();
    yield* body;
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
