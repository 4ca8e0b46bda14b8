import type { Pod } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { brokenSessionCode, CommandError } from "../errors.ts";

/** Milliseconds for all questions together. */
const patience = 2000;

/** A session, or a log that was followed, broke off: whether the command succeeded is unknown. */
export class BrokenSession extends CommandError {
  override readonly name = "BrokenSession";

  constructor(message: string, { cause }: { cause: unknown }) {
    super(message, { exitCode: brokenSessionCode, cause });
  }
}

/**
 * A session, whose breaking off is told with the hop it broke off at. The client's own connection is all that ends then, wherever
 * in the chain it was: so the hops are asked, one after the other, whether they are there. What comes of that is said as it is found
 * afterwards, and no more.
 *
 * Throws BrokenSession in place of a StreamError; every other error as it is.
 */
export async function toldWhereItBroke<T>(session: Promise<T>, at: Chain): Promise<T> {
  try {
    return await session;
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name !== "StreamError") throw cause;
    throw await brokenOff("session", { cause, ...at });
  }
}

/** The error for what broke off by `cause`, with the first hop that does not answer. */
export async function brokenOff(what: string, { cause, ...at }: Chain & { cause: Error }): Promise<BrokenSession> {
  const message = `the ${what} broke off: ${cause.message}\n${await firstMissingHop(at)}`;
  return new BrokenSession(message, { cause });
}

/** Whom to ask for a pod, and the pod. */
interface Chain {
  client: KubeClient;
  pod: Pod;
}

/** Which hop does not answer, in a sentence. */
async function firstMissingHop({ client, pod }: Chain): Promise<string> {
  const { server } = client.config;
  const signal = AbortSignal.timeout(patience);
  const ask = async (path: string) => {
    try {
      await client.request({ method: "GET", path, accept: "*/*", signal });
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  };
  const missing = await ask("/readyz");
  if (missing && !isAnswer(missing)) return `The API server ${server.origin} does not answer: ${missing.message}`;
  const node = pod.spec?.nodeName ?? "";
  const kubelet = await ask(`/api/v1/nodes/${encodeURIComponent(node)}/proxy/healthz`);
  if (!kubelet) {
    return `The API server and the kubelet of node ${node} answer: it broke off behind them, at the container runtime, or on the way between.`;
  }
  if (isAnswer(kubelet) && isForbidden(kubelet)) {
    return `The API server ${server.origin} answers: it broke off on the way there, or behind it. (Its nodes are not ours to ask: ${kubelet.message})`;
  }
  return `The API server answers, and the kubelet of node ${node} does not: ${kubelet.message}`;
}

/** The API server has said no, which is an answer. */
function isAnswer(error: Error): boolean {
  return error.name === "StatusError";
}

function isForbidden(error: Error): boolean {
  return "code" in error && (error.code === 401 || error.code === 403);
}
