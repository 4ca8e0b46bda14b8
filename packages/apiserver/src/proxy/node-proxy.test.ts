import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { StatusError } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { requestInfo } from "../request-info.ts";
import { proxyNode } from "./node-proxy.ts";
import { type FakeCluster, fakeCluster } from "./testing/fake-kubelet.ts";

/** An API server that can do nothing but nodes/proxy, for a user who may do `verbs`. */
async function proxyServer(cluster: FakeCluster, verbs: string[] = ["get", "create"]) {
  const access = {
    decide: async (_: unknown, { verb }: { verb: string }) => ({ allowed: verbs.includes(verb), reason: "" }),
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "", "http://x");
    const info = requestInfo(request.method ?? "", url);
    const user = { name: "u", groups: [] };
    const signal = new AbortController().signal;
    try {
      await proxyNode({ ...cluster, access }, { info, user, request, response, url, signal, log: silentLogger });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      response.writeHead(error.code).end(error.message);
    }
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    async ask(path: string, { method = "GET", headers = {}, body = "" } = {}) {
      const sent = request({ port, host: "127.0.0.1", path: `/api/v1/nodes/${path}`, method, headers, agent: false });
      sent.end(body);
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      let text = "";
      for await (const chunk of response) text += chunk;
      return { code: response.statusCode, headers: response.headers, text };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

test("a request goes to the kubelet with path, query and body, and its answer comes back", async () => {
  const seen: unknown[] = [];
  await using cluster = await fakeCluster({
    onRequest: async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      seen.push(request.method, request.url, body, request.headers.authorization, request.headers["x-test"]);
      response
        .writeHead(418, { "X-Kubelet": "yes", "Set-Cookie": "a=b", "Access-Control-Allow-Origin": "*" })
        .end("short");
    },
  });
  await using server = await proxyServer(cluster);
  const headers = { authorization: "Bearer s3cret", "x-test": "1" };
  const got = await server.ask("worker/proxy/stats/summary?a=1&b=%20", { method: "POST", headers, body: "hello" });
  assert.deepEqual(seen, ["POST", "/stats/summary?a=1&b=%20", "hello", undefined, "1"]);
  assert.deepEqual([got.code, got.text, got.headers["x-kubelet"]], [418, "short", "yes"]);
  assert.equal(got.headers["set-cookie"], undefined);
  assert.equal(got.headers["access-control-allow-origin"], undefined);
  assert.deepEqual(cluster.clients, ["kube-apiserver-kubelet-client"]);
});

test("who may only get nodes/proxy cannot run anything by it, however the path is spelt", async () => {
  let reached = 0;
  await using cluster = await fakeCluster({
    onRequest: (_, response) => {
      reached++;
      response.end();
    },
  });
  await using server = await proxyServer(cluster, ["get"]);
  for (const path of [
    "exec/d/p/c",
    "/exec/d/p/c",
    "%65xec/d/p/c",
    "Exec/d/p/c",
    "pods/../run/d/p/c",
    "attach/d/p/c",
    "portForward/d/p",
    "cri/exec/x",
    "%2fexec/d/p/c",
  ]) {
    const { code, text } = await server.ask(`worker/proxy/${path}`);
    assert.equal(code, 403, path);
    assert.match(text, /nodes "worker" is forbidden: User "u" cannot create resource "nodes\/proxy"/);
  }
  assert.equal(reached, 0);
  assert.equal((await server.ask("worker/proxy/pods")).code, 200);
  assert.equal((await server.ask("worker/proxy")).code, 200);
});

test("a redirect is not passed on, and a kubelet that is down is told", async () => {
  await using cluster = await fakeCluster({
    onRequest: (_, response) => response.writeHead(307, { Location: "https://evil/" }).end(),
  });
  await using server = await proxyServer(cluster);
  assert.deepEqual(await server.ask("worker/proxy/pods").then(({ code, text }) => [code, text]), [
    502,
    "the backend attempted to redirect this request, which is not permitted",
  ]);
  assert.equal((await server.ask("nobody/proxy/pods")).code, 404);
  const { port } = cluster;
  await new Promise<void>((resolve) => cluster.server.close(() => resolve()));
  assert.deepEqual(await server.ask("worker/proxy/pods").then(({ code, text }) => [code, text]), [
    500,
    `error trying to reach service: dial tcp 127.0.0.1:${port}: connect: connection refused`,
  ]);
});
