import { booleanParameter, checkPathSegment } from "@hawser/api";
import type { RequestInfo } from "./request.ts";

/** Below `namespaces/NAME/`, these belong to the namespace itself. */
const namespaceSubresources = new Set(["status", "finalize"]);
const verbs: Record<string, string> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/**
 * Reads what a request asks for from its method, path and query.
 *
 * Source: kubernetes/apiserver pkg/endpoints/request/requestinfo.go
 */
export function requestInfo(method: string, url: URL): RequestInfo {
  const info: RequestInfo = {
    isResourceRequest: false,
    path: url.pathname,
    verb: method.toLowerCase(),
    apiPrefix: "",
    apiGroup: "",
    apiVersion: "",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
  };
  const parts = pathParts(url.pathname);
  const [prefix] = parts;
  if (parts.length < 3 || (prefix !== "api" && prefix !== "apis")) return info;
  parts.shift();
  if (prefix === "apis" && parts.length < 3) return info;
  info.apiPrefix = prefix;
  if (prefix === "apis") info.apiGroup = parts.shift() ?? "";
  info.apiVersion = parts.shift() ?? "";
  info.isResourceRequest = true;
  info.verb = verbs[method] ?? "";
  // The deprecated /watch/ prefix; the resource `watch` itself does not exist.
  const watchByPath = parts[0] === "watch" && parts.length > 1;
  if (watchByPath) {
    parts.shift();
    info.verb = "watch";
  }
  if (parts[0] === "namespaces" && parts[1] !== undefined) {
    info.namespace = parts[1];
    if (parts.length > 2 && !namespaceSubresources.has(parts[2] ?? "")) parts.splice(0, 2);
  }
  info.resource = parts[0] ?? "";
  info.name = parts[1] ?? "";
  info.subresource = watchByPath ? "" : (parts[2] ?? "");
  if (info.name === "" && info.verb === "get") {
    info.verb = booleanParameter(url.searchParams, "watch") ? "watch" : "list";
    info.name = nameSelected(url.searchParams.get("fieldSelector"));
  }
  if (info.name === "" && info.verb === "delete") info.verb = "deletecollection";
  const selector = url.searchParams.get("fieldSelector");
  // Below the deprecated prefix selectors do not hold everywhere, so no authorizer may count on them.
  if (selector && !watchByPath && ["list", "watch", "deletecollection"].includes(info.verb))
    info.fieldSelector = selector;
  return info;
}

/** Path segments, percent-decoded. A segment that cannot be decoded stays as it is. */
function pathParts(path: string): string[] {
  const trimmed = path.replace(/^\/+|\/+$/g, "");
  return trimmed === "" ? [] : trimmed.split("/").map(decode);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function nameSelected(selector: string | null): string {
  const match = selector?.split(",").find((part) => /^metadata\.name==?[^=]/.test(part));
  const name = match?.replace(/^metadata\.name==?/, "") ?? "";
  return checkPathSegment(name).length === 0 ? name : "";
}
