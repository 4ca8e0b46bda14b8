// Step 5 of 8. Before: streaming/src/proxy/proxy.ts. After: runtime/src/server/container-exec.ts (gRPC, then its URL).
import type { RuntimeClient } from "@hawser/cri";
import { type ProxyOptions, proxyUpgrade, type UpgradeRequest } from "@hawser/streaming";
import type { Logger } from "@hawser/trace";
import type { PodManager } from "../pods/manager.ts";
import { findPod, findRunning, findSandbox, type PodPath } from "./find-container.ts";
import { HTTPError } from "./http-error.ts";
import { findContainerStreams } from "./streams.ts";

export interface StreamContext {
  pods: Pick<PodManager, "byName">;
  runtime: Pick<RuntimeClient, "exec" | "attach" | "portForward">;
  /** What the runtime's streaming server speaks besides SPDY. */
  nextHop: "spdy" | "websocket";
  timeouts: Pick<ProxyOptions, "idleTimeoutMs" | "peerTimeoutMs">;
  log: Logger;
}

/**
 * /exec: pod and container name become a container id, the runtime gives a URL, and the client's connection is joined to it.
 *
 * Throws HTTPError, or CRIError from the runtime, before anything was answered.
 */
export async function exec(
  context: StreamContext,
  upgrade: UpgradeRequest,
  { path, container, query }: StreamRequest,
): Promise<void> {
  const { pods, runtime, log } = context;
  const streams = findContainerStreams(query);
  const { id: containerId } = findRunning(findPod(pods, path), container).status;
  const { url } = await runtime.exec({ containerId, cmd: query.getAll("command"), ...streams });
  log.at(4, "exec", { pod: `${path.namespace}/${path.pod}`, container, containerId });
  await proxyUpgrade(upgrade, { ...toRuntime(context, url), kind: "remotecommand", streams });
}

/** /attach: the same, for the container's own process. */
export async function attach(
  context: StreamContext,
  upgrade: UpgradeRequest,
  { path, container, query }: StreamRequest,
): Promise<void> {
  const { pods, runtime, log } = context;
  const streams = findContainerStreams(query);
  const { id: containerId } = findRunning(findPod(pods, path), container).status;
  const { url } = await runtime.attach({ containerId, ...streams });
  log.at(4, "attach", { pod: `${path.namespace}/${path.pod}`, container, containerId });
  await proxyUpgrade(upgrade, { ...toRuntime(context, url), kind: "remotecommand", streams });
}

/** /portForward: into the pod's sandbox. */
export async function portForward(
  context: StreamContext,
  upgrade: UpgradeRequest,
  { path, query }: { path: PodPath; query: URLSearchParams },
): Promise<void> {
  const { pods, runtime, log } = context;
  const port = portsOf(query);
  const podSandboxId = findSandbox(findPod(pods, path));
  const { url } = await runtime.portForward({ podSandboxId, port });
  log.at(4, "portForward", { pod: `${path.namespace}/${path.pod}`, podSandboxId });
  await proxyUpgrade(upgrade, { ...toRuntime(context, url), kind: "portforward" });
}

export interface StreamRequest {
  path: PodPath;
  container: string;
  query: URLSearchParams;
}

/**
 * Refuses a request of these three that asks for no upgrade, and before that what an upgrade would be refused for: the streams, then the
 * pod, then the container. Always throws HTTPError; where the real kubelet's last word is a 500 of the same text, ours is a 400.
 */
export function refusePlain(
  { pods }: Pick<StreamContext, "pods">,
  { path, container, query }: Omit<StreamRequest, "container"> & { container?: string },
): never {
  if (container === undefined) {
    portsOf(query);
    findSandbox(findPod(pods, path));
  } else {
    findContainerStreams(query);
    findRunning(findPod(pods, path), container);
  }
  throw new HTTPError(400, "Upgrade request required");
}

function portsOf(query: URLSearchParams): number[] {
  return query.getAll("port").flatMap((text) => text.split(",").map(portNumber));
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new HTTPError(400, `unable to parse ${JSON.stringify(text)} as a port`);
  return port;
}

/** What all three ask of the way to a runtime's URL. */
function toRuntime({ nextHop, timeouts, log }: StreamContext, url: string) {
  return { target: { url: absolute(url) }, nextHop, backendName: "the container runtime", ...timeouts, log };
}

/** Some runtimes leave the scheme out: `//[::]:port/…`. Plain HTTP is what they mean. */
function absolute(url: string): URL {
  return new URL(url.startsWith("//") ? `http:${url}` : url);
}
