import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import type { KubernetesObject } from "@hawser/api";
import { createClient, type KubeClient } from "@hawser/client";
import { silentLogger } from "@hawser/trace";
import { createEventRecorder } from "./events.ts";
import { keepLease } from "./node/lease.ts";
import { keepNode } from "./node/register.ts";
import { tellRejected } from "./pods/admission.ts";
import { boundPod } from "./pods/pod.ts";
import { StatusPusher } from "./pods/status-pusher.ts";
import { createGate } from "./server/auth.ts";
import { startTestKubelet, testPod } from "./testing/test-kubelet.ts";

/** An API server that takes whatever is written, but for the first write on a connection that was used before: there it has done what was asked, or not, and resets. */
async function resettingServer({ done = false } = {}) {
  /** What was taken, in its order. */
  const written: string[] = [];
  const objects = new Map<string, KubernetesObject>();
  let resets = 0;
  const told = new EventTarget();
  const used = new WeakSet<object>();
  const take = ({ method, url = "" }: IncomingMessage, text: string) => {
    const object = JSON.parse(text) as KubernetesObject;
    const { pathname } = new URL(url, "http://h");
    const name = method === "POST" ? object.metadata?.name : undefined;
    const path = name ? `${pathname}/${name}` : pathname;
    if (name && objects.has(path)) return { code: 409, answer: failed(409, "AlreadyExists") };
    written.push(`${method} ${path}`);
    objects.set(path, object);
    return { code: 200, answer: { ...object, status: { ...statusOf(object), allowed: true } } };
  };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { socket, method, url = "" } = request;
    const isReused = used.has(socket);
    used.add(socket);
    if (method === "GET") {
      const found = objects.get(new URL(url, "http://h").pathname);
      response.writeHead(found ? 200 : 404, { "Content-Type": "application/json" });
      return void response.end(JSON.stringify(found ?? failed(404, "NotFound")));
    }
    const isReset = isReused && resets === 0;
    if (isReset) resets++;
    const taken = isReset && !done ? undefined : take(request, text);
    if (isReset) socket.resetAndDestroy();
    else if (taken) {
      response.writeHead(taken.code, { "Content-Type": "application/json" });
      response.end(JSON.stringify(taken.answer));
    }
    told.dispatchEvent(new Event("written"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = createClient({
    server: new URL(`http://127.0.0.1:${port}`),
    namespace: "default",
    tls: {},
    headers: async () => ({}),
  });
  await client.request({ method: "GET", path: "/" }).catch(() => {}); // a connection that was used
  return {
    client,
    written,
    get resets() {
      return resets;
    },
    async until(isThere: (last: string | undefined, count: number) => boolean) {
      const signal = AbortSignal.timeout(30_000);
      while (!isThere(written.at(-1), written.length)) await once(told, "written", { signal });
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const failed = (code: number, reason: string) => ({
  kind: "Status",
  apiVersion: "v1",
  status: "Failure",
  code,
  reason,
});
const statusOf = (object: KubernetesObject) => ("status" in object ? (object.status as object) : {});
const settings = { nodeName: "worker", nodeLeaseDuration: 800 };
const pod = boundPod(testPod("web"));
assert.ok(pod);

/** Whatever was written when the connection broke off, done there or not. */
const eachWay = async (
  run: (
    server: Awaited<ReturnType<typeof resettingServer>>,
    client: KubeClient,
    signal: AbortSignal,
  ) => Promise<unknown>,
) => {
  for (const done of [false, true]) {
    await using server = await resettingServer({ done });
    const stop = new AbortController();
    try {
      await run(server, server.client, stop.signal);
    } finally {
      stop.abort();
    }
    assert.equal(server.resets, 1);
  }
};

describe("a write whose connection is reset as it is used again arrives all the same:", () => {
  it("the node's lease", () =>
    eachWay(async (server, client, signal) => {
      const context = { settings, client, log: silentLogger, now: Date.now };
      const stop = new AbortController();
      const ended = keepLease(context as never, AbortSignal.any([signal, stop.signal])); // it uses no more of the settings
      await server.until((_, count) => count === 2);
      stop.abort();
      await ended;
      assert.match(server.written.join(), /^POST [^,]*leases\/worker(,PUT [^,]*leases\/worker)+$/);
    }));

  it("the node, and its status", async () => {
    await using kubelet = await startTestKubelet();
    await eachWay(async (server, client, signal) => {
      const stop = new AbortController();
      const ids = { machineID: "m", systemUUID: "s", bootID: "b" };
      const facts = { ...ids, cpus: 1, memory: 1, kernelVersion: "", osImage: "", architecture: "amd64" };
      const ended = keepNode(
        { ...kubelet.context, client, folders: { ...kubelet.context.folders, rootDir: kubelet.folder } },
        {
          facts,
          port: 1,
          runtimeVersion: "1",
          signal: AbortSignal.any([signal, stop.signal]),
          onReady: () => {},
        },
      );
      await server.until((last) => last === "PATCH /api/v1/nodes/worker/status");
      stop.abort();
      await ended;
      assert.equal(server.written[0], "POST /api/v1/nodes/worker");
    });
  });

  it("a pod's status", () =>
    eachWay(async ({ written }, client) => {
      using pusher = new StatusPusher({ client, log: silentLogger }, pod);
      pusher.set({ phase: "Running" });
      await pusher.flush();
      assert.equal(written.at(-1), "PATCH /api/v1/namespaces/default/pods/web/status");
      assert.deepEqual(pusher.latest, { phase: "Running" });
    }));

  it("a pod's rejection", () =>
    eachWay(async ({ written }, client, signal) => {
      const events = { record: () => {}, [Symbol.asyncDispose]: async () => {} };
      const context = { client, events, log: silentLogger, now: Date.now };
      await tellRejected(context, pod, { reason: "OutOfpods", message: "too many" }, signal);
      assert.equal(written.at(-1), "PATCH /api/v1/namespaces/default/pods/web/status");
    }));

  it("an event, once", () =>
    eachWay(async (server, client) => {
      await using events = createEventRecorder({ client, nodeName: "worker", log: silentLogger });
      events.record({ kind: "Pod", namespace: "default", name: "web", uid: "u" }, "Normal", "Started", "1");
      events.record({ kind: "Pod", namespace: "default", name: "web", uid: "u" }, "Normal", "Started", "2");
      await server.until((_, count) => count === 2);
      assert.equal(server.written.length, 2, server.written.join());
    }));

  it("the question who calls, and what he may do", () =>
    eachWay(async ({ written }, client) => {
      const ttl = { webhookAuthorizedTTL: 1, webhookUnauthorizedTTL: 1, webhookAuthenticatedTTL: 1 };
      const gate = createGate({ client, settings: { nodeName: "worker", ...ttl } });
      const subject = { CN: "admin", O: "system:masters" };
      const socket = { authorized: true, getPeerCertificate: () => ({ subject }) };
      const request = { socket, headers: {} } as unknown as IncomingMessage; // what a gate looks at
      const { name } = await gate.admit(request, { verb: "get", subresources: ["log"] });
      assert.equal(name, "admin");
      assert.equal(written.at(-1), "POST /apis/authorization.k8s.io/v1/subjectaccessreviews");
    }));
});
