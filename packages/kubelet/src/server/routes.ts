import type { Permission } from "./auth.ts";
import type { PodPath } from "./find-container.ts";
import { HTTPError } from "./http-error.ts";

export type Route =
  | { type: "exec" | "attach" | "run" | "containerLogs"; path: PodPath; container: string }
  | { type: "portForward"; path: PodPath }
  | { type: "pods" | "runningpods" | "healthz" | "metrics" | "configz" };

const podRoutes = new Set(["exec", "attach", "run", "containerLogs"]);
const plainRoutes = new Set(["pods", "runningpods", "healthz", "metrics", "configz"]);
/** What would run or reach a process: to read must not be enough. */
const creating = new Set(["exec", "attach", "run", "portForward"]);

/**
 * Finds the route of a path: `/exec/NAMESPACE/POD[/UID]/CONTAINER` and its like.
 *
 * Undefined for any other path.
 */
export function parseRoute(pathname: string): Route | undefined {
  const [, head = "", ...rest] = pathname.split("/").map(decode);
  if (rest.at(-1) === "") rest.pop();
  const [namespace = "", pod = "", third, fourth] = rest;
  if (podRoutes.has(head) && namespace && pod && third && rest.length <= 4) {
    const type = head as "exec" | "attach" | "run" | "containerLogs"; // as the set says
    if (fourth) return { type, path: { namespace, pod, uid: third }, container: fourth };
    return { type, path: { namespace, pod }, container: third };
  }
  if (head === "portForward" && namespace && pod && rest.length <= 3) {
    return { type: "portForward", path: { namespace, pod, uid: third } };
  }
  if (plainRoutes.has(head) && rest.length === 0) return { type: head as "pods" }; // as the set says
  return undefined;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "%"; // no name of anything
  }
}

/** Refuses a method that the route does not have. */
export function checkMethod({ type }: Route, method: string): void {
  const allowed = type === "run" ? ["POST"] : creating.has(type) ? ["GET", "POST"] : ["GET", "HEAD"];
  if (!allowed.includes(method)) {
    throw new HTTPError(405, "405: Method Not Allowed", { headers: { Allow: allowed.join(", ") } });
  }
}

const fineGrained: Record<string, string> = {
  pods: "pods",
  runningpods: "pods",
  healthz: "healthz",
  configz: "configz",
};

/**
 * What a caller must be allowed. exec, attach, run and portForward need `create`, also when a WebSocket makes them a GET.
 *
 * Source: kubernetes pkg/kubelet/server/auth.go, but for the last sentence
 */
export function permissionFor(route: Route | undefined, method: string): Permission {
  const type = route?.type ?? "";
  if (creating.has(type)) return { verb: "create", subresources: ["proxy"] };
  const verb = method === "POST" ? "create" : "get";
  if (type === "metrics") return { verb, subresources: ["metrics"] };
  const fine = fineGrained[type];
  return { verb, subresources: fine ? [fine, "proxy"] : ["proxy"] };
}
