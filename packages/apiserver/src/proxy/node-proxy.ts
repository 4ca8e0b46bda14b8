import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream/promises";
import { badRequest, failure } from "@hawser/api";
import { dialErrorText } from "@hawser/streaming";
import type { Request, RequestContext, Response } from "../request.ts";
import { type ConnectDependencies, requireCreate } from "./connect.ts";
import { plainError, timeoutError } from "./dial-error.ts";
import { forwardedHeaders } from "./forwarded-headers.ts";
import type { Kubelet } from "./kubelet-connection.ts";

/** From the start of a connection to the end of its TLS handshake. Milliseconds. */
const connectTimeout = 10_000;
/** What runs or enters something on a node is a deed, whatever its method: `get nodes/proxy` is for reading. */
const deeds = new Set(["exec", "attach", "run", "portforward", "cri", "checkpoint"]);
const notForwarded = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "proxy-authenticate",
  "set-cookie",
]);

/**
 * nodes/NAME/proxy/PATH: hands a request to the node's kubelet with our certificate, and its answer back. No upgrades: those go by pods/exec.
 *
 * Throws StatusError while nothing was answered: 403 without `create` for what acts on the node, 404 for an unknown node,
 * 502 for a redirect, 500 for a kubelet that cannot be reached.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/node/rest/proxy.go, kubernetes/apimachinery pkg/util/proxy/upgradeaware.go
 */
export async function proxyNode(dependencies: ConnectDependencies, context: RequestContext): Promise<void> {
  const { info, request, response, url, signal } = context;
  if (!response)
    throw failure({ code: 501, reason: "", message: "upgrades by nodes/proxy are not implemented: use pods/exec" });
  if (info.name.includes(":")) throw badRequest("a scheme or port in the node's name is not implemented");
  const path = url.pathname.replace(/^\/api\/v1\/nodes\/[^/]+\/proxy\/?/, "/");
  // Another spelling of a path must not be another path to the check: encoded, doubled or in other letters.
  const [first = ""] = decodePath(path)
    .split("/")
    .filter((part) => part !== "");
  if (deeds.has(first.toLowerCase())) await requireCreate(dependencies, context);
  const kubelet = await dependencies.findKubelet(info.name).catch((cause: unknown) => {
    throw cause instanceof Error && cause.name !== "StatusError" ? plainError(cause.message, cause) : cause;
  });
  const gone = new AbortController();
  const leave = () => gone.abort();
  response.on("close", leave);
  try {
    const ask = { kubelet, path: path + url.search, signal: AbortSignal.any([signal, gone.signal]) };
    const source = await send(request, ask).catch((cause: unknown) => {
      if (ask.signal.aborted) return undefined;
      const why = dialErrorText(cause, kubelet.host) ?? (cause instanceof Error ? cause.message : String(cause));
      throw plainError(`error trying to reach service: ${why}`, cause);
    });
    if (!source) return;
    const { statusCode = 502 } = source;
    if (statusCode >= 300 && statusCode < 400) {
      source.destroy();
      const message = "the backend attempted to redirect this request, which is not permitted";
      throw failure({ code: 502, reason: "", message });
    }
    await answer(source, response);
  } finally {
    response.off("close", leave);
    gone.abort();
  }
}

async function answer(source: IncomingMessage, response: Response): Promise<void> {
  response.statusCode = source.statusCode ?? 502;
  for (const [name, value] of Object.entries(source.headers)) {
    if (value !== undefined && !notForwarded.has(name) && !name.startsWith("access-control-"))
      response.setHeader(name, value);
  }
  await pipeline(source, response).catch(() => {}); // one side broke off: both are closed now, and the other sees it
}

function send(request: Request, { kubelet, path, signal }: { kubelet: Kubelet; path: string; signal: AbortSignal }) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    const { method = "GET" } = request;
    const headers = { ...forwardedHeaders(request), host: kubelet.host };
    const url = new URL(kubelet.base);
    const sent = httpsRequest({
      ...kubelet.tls,
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port,
      path,
      method,
      headers,
      signal,
      agent: false,
    });
    const timer = setTimeout(() => sent.destroy(timeoutError()), connectTimeout);
    sent.on("socket", (socket) => socket.once("secureConnect", () => clearTimeout(timer)));
    sent.on("close", () => clearTimeout(timer));
    sent.on("response", resolve);
    sent.on("error", reject);
    pipeline(request, sent).catch(reject);
  });
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw badRequest("invalid path", cause);
  }
}
