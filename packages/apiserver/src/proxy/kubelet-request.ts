import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { dialErrorText } from "@hawser/streaming";
import type { Kubelet } from "./kubelet-connection.ts";
import type { KubeletPath } from "./kubelet-url.ts";
import { plainError } from "./plain-error.ts";

/** From the start of a connection to the end of its TLS handshake. Milliseconds. */
const connectTimeout = 10_000;

export interface KubeletRequest {
  /** As it goes on the wire. */
  path: KubeletPath;
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: Readable;
  /** Whoever answers at the kubelet's address is believed. */
  skipVerify?: boolean;
  /** Ends the exchange, the answer's body included. */
  signal: AbortSignal;
  /** What the client is told when the kubelet cannot be reached; `why` is in the words of Go's dialer. */
  unreachable: (why: string) => string;
}

/**
 * Sends a request to a kubelet, on a connection of its own. Resolves with the head of its answer, whatever its code;
 * with undefined when `signal` was aborted before. Throws StatusError 500 when the kubelet cannot be reached.
 */
export async function requestKubelet(kubelet: Kubelet, options: KubeletRequest): Promise<IncomingMessage | undefined> {
  try {
    return await send(kubelet, options);
  } catch (cause) {
    if (options.signal.aborted) return undefined;
    const why = dialErrorText(cause, kubelet.host) ?? (cause instanceof Error ? cause.message : String(cause));
    throw plainError(options.unreachable(why), cause);
  }
}

function send({ base, tls }: Kubelet, options: KubeletRequest): Promise<IncomingMessage> {
  const { path, method = "GET", headers = {}, body, skipVerify = false, signal } = options;
  return new Promise((resolve, reject) => {
    const sent = httpsRequest({
      ...tls,
      ...(skipVerify && { rejectUnauthorized: false }),
      host: base.hostname.replace(/^\[|\]$/g, ""),
      port: base.port,
      path,
      method,
      headers,
      signal,
      agent: false,
    });
    // dialErrorText knows the code.
    const tooLate = () => sent.destroy(Object.assign(new Error("i/o timeout"), { code: "ERR_DIAL_TIMEOUT" }));
    const timer = setTimeout(tooLate, connectTimeout);
    sent.on("socket", (socket) => socket.once("secureConnect", () => clearTimeout(timer)));
    sent.on("close", () => clearTimeout(timer));
    sent.on("response", resolve);
    sent.on("error", reject);
    if (body) pipeline(body, sent).catch(reject);
    else sent.end();
  });
}
