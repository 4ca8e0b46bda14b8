import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { badRequest, failure } from "@hawser/api";
import type { RequestContext, Response } from "../request.ts";
import { type ConnectDependencies, requireCreate } from "./connect.ts";
import { forwardedHeaders } from "./forwarded-headers.ts";
import { requestKubelet } from "./kubelet-request.ts";
import type { KubeletPath } from "./kubelet-url.ts";

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
  const path = url.pathname.replace(/^\/api\/v1\/nodes\/[^/]+\/proxy\/?/, "/") as KubeletPath; // it begins with a slash
  // Another spelling of a path must not be another path to the check: encoded, doubled or in other letters.
  const [first = ""] = decodePath(path)
    .split("/")
    .filter((part) => part !== "");
  if (deeds.has(first.toLowerCase())) await requireCreate(dependencies, context);
  const kubelet = await dependencies.findKubelet(info.name);
  const gone = new AbortController();
  const leave = () => gone.abort();
  response.on("close", leave);
  try {
    const source = await requestKubelet(kubelet, {
      path: `${path}${url.search}`,
      method: request.method ?? "GET",
      headers: { ...forwardedHeaders(request), host: kubelet.host },
      body: request,
      signal: AbortSignal.any([signal, gone.signal]),
      unreachable: (why) => `error trying to reach service: ${why}`,
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

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw badRequest("invalid path", cause);
  }
}
