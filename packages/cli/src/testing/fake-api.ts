import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { notFound, type Pod, parsePodAttachOptions } from "@hawser/api";
import { acceptPortForward, acceptRemoteCommand, type ServerSession, type UpgradeRequest } from "@hawser/streaming";

export interface FakeApiOptions {
  pods?: Pod[];
  /** Serves exec and attach, by the URL's path. */
  session?: (session: ServerSession, url: URL) => Promise<void>;
  /** Answers an upgrade itself; true when it did. */
  upgrade?: (upgrade: UpgradeRequest) => boolean;
  connect?: Parameters<typeof acceptPortForward>[1]["connect"];
  log?: (url: URL, response: ServerResponse) => void;
  /** Called with each pod that is created; what it becomes is then told to watches. */
  onCreate?: (pod: Pod, become: (pod: Pod) => void) => void;
}

/** Pods of the namespace default, over plain HTTP, with watches. */
export interface FakeApi extends AsyncDisposable {
  url: string;
  requests: string[];
  bodies: unknown[];
  become(pod: Pod): void;
  remove(name: string): void;
}

export async function fakeApi(options: FakeApiOptions = {}): Promise<FakeApi> {
  const pods = new Map((options.pods ?? []).map((pod) => [pod.metadata?.name ?? "", pod]));
  const watches = new Set<{ response: ServerResponse; name: string | undefined }>();
  const requests: string[] = [];
  const bodies: unknown[] = [];
  let version = 10;

  function tell(type: string, pod: Pod): void {
    for (const { response, name } of watches) {
      if (name === undefined || name === pod.metadata?.name)
        response.write(`${JSON.stringify({ type, object: pod })}\n`);
    }
  }
  function become(pod: Pod): void {
    const next = { ...pod, metadata: { namespace: "default", ...pod.metadata, resourceVersion: String(++version) } };
    const name = next.metadata.name ?? "";
    const type = pods.has(name) ? "MODIFIED" : "ADDED";
    pods.set(name, next);
    tell(type, next);
  }
  function remove(name: string): void {
    const pod = pods.get(name);
    pods.delete(name);
    if (pod) tell("DELETED", pod);
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://h");
    const [, name, subresource] =
      /^\/api\/v1\/namespaces\/default\/pods(?:\/([^/]+))?(?:\/(\w+))?$/.exec(url.pathname) ?? [];
    const answer = (value: unknown, code = 200) => {
      response.writeHead(code, { "Content-Type": "application/json" });
      response.end(JSON.stringify(value));
    };
    const missing = () => answer(notFound({ resource: "pods" }, name ?? "").status, 404);
    const field = /^metadata\.name=(.*)$/.exec(url.searchParams.get("fieldSelector") ?? "")?.[1];
    const text = await bodyText(request);
    if (text) bodies.push(JSON.parse(text));
    if (url.searchParams.has("watch")) {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.flushHeaders();
      const watch = { response, name: field };
      watches.add(watch);
      response.once("close", () => watches.delete(watch));
    } else if (request.method === "POST") {
      const pod = JSON.parse(text) as Pod; // our own client's
      become(pod);
      answer(pods.get(pod.metadata?.name ?? ""));
      options.onCreate?.(pod, become);
    } else if (name === undefined) {
      const items = [...pods.values()].filter(({ metadata }) => field === undefined || metadata?.name === field);
      answer({ kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: String(version) }, items });
    } else if (!pods.has(name)) missing();
    else if (subresource === "log" && options.log) options.log(url, response);
    else if (request.method === "DELETE") {
      answer(pods.get(name));
      remove(name);
    } else answer(pods.get(name));
  }

  async function upgrade(request: UpgradeRequest): Promise<void> {
    const url = new URL(request.request.url ?? "", "http://h");
    requests.push(`${request.request.method} ${request.request.url}`);
    if (options.upgrade?.(request)) return;
    if (url.pathname.endsWith("/portforward")) {
      if (!options.connect) throw new Error("no connect");
      await using session = await acceptPortForward(request, { connect: options.connect });
      await session.closed;
      return;
    }
    await using session = await acceptRemoteCommand(request, parsePodAttachOptions(url.searchParams));
    await options.session?.(session, url);
  }

  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    serve(request, response).catch(() => response.destroy());
  });
  server.on("upgrade", (request, socket, head) => {
    upgrade({ request, socket, head }).catch(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on TCP
    requests,
    bodies,
    become,
    remove,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function bodyText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) parts.push(chunk);
  return Buffer.concat(parts).toString("utf8");
}

/** A running pod of the namespace default. */
export function pod(
  name: string,
  { containers = ["web"], ...more }: { containers?: string[] } & Partial<Pod> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}`, resourceVersion: "1", ...more.metadata },
    spec: {
      containers: containers.map((each) => ({ name: each, image: "i" })),
      nodeName: "n1",
      restartPolicy: "Always",
      ...more.spec,
    },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }], ...more.status },
  };
}
