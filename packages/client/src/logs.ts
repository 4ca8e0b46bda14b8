import { type PodLogOptions, podLogOptionsQuery, type StatusError } from "@hawser/api";
import { defaultPeerTimeoutMs } from "@hawser/streaming/peer-timeout";
import type { KubeClient } from "./client.ts";
import { askedWhenQuiet } from "./quiet.ts";
import { pathOf } from "./ref.ts";

export interface LogsOptions extends Partial<PodLogOptions> {
  namespace: string;
  pod: string;
  /** The pod's node, where it is known: of the logs that are quiet on one node, one is asked about for all. Where absent, of the logs of one pod. */
  node?: string | undefined;
  /** Called when the server has begun its answer: what fails from then on has broken off. */
  onAnswer?: (() => void) | undefined;
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds for which a log that is followed may be quiet until the servers on its way are asked, by another request for the same log, whether they are
   * there, and for which they may leave that unanswered. 30 000 where absent, 0 for never.
   */
  peerTimeoutMs?: number | undefined;
}

/**
 * The log of a container, as bytes. With `follow` it goes on until the container ends or the iteration is left.
 * Throws StatusError, ConnectionError (also when it is cut short, and of kind `timeout` when its server is lost), and the signal's reason.
 */
export async function* logs(
  client: Pick<KubeClient, "stream" | "request">,
  options: LogsOptions,
): AsyncGenerator<Uint8Array> {
  const { namespace, pod, node, onAnswer, signal, peerTimeoutMs = defaultPeerTimeoutMs, ...query } = options;
  const path = pathOf({ resource: "pods", namespace, name: pod, subresource: "log" });
  try {
    const open = async (signal: AbortSignal | undefined) => {
      const { body } = await client.stream({ method: "GET", path, query: podLogOptionsQuery(query), signal });
      onAnswer?.();
      return body;
    };
    // No line of the same log: whoever may read it may ask so, and it goes as far.
    const { stream: _, ...same } = query;
    const nothing = { ...same, follow: false, tailLines: 0, limitBytes: 1 };
    const ask = (signal: AbortSignal, timeoutMs: number) =>
      client.request({ method: "GET", path, query: podLogOptionsQuery(nothing), accept: "*/*", signal, timeoutMs });
    const peer = node === undefined ? `pod ${namespace}/${pod}` : `node ${node}`;
    // An API server says of a pod that was deleted by force that it is not found, and asks no node.
    const isAnswer = ({ code }: StatusError) => code !== 404 && code !== 410;
    const peerTimeout = query.follow ? peerTimeoutMs : 0;
    yield* askedWhenQuiet(open, { client, peer, peerTimeoutMs: peerTimeout, ask, isAnswer, signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
