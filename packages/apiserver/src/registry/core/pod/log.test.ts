import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { type Status, StatusError } from "@hawser/api";
import { createCA } from "@hawser/pki";
import { createLogger, silentLogger } from "@hawser/trace";
import { kubeletPresence } from "../../../proxy/kubelet-presence.ts";
import { type FakeCluster, fakeCluster, servingCertificate } from "../../../proxy/testing/fake-kubelet.ts";
import { requestInfo } from "../../../request-info.ts";
import { podLog } from "./log.ts";

/** An API server that can do nothing but logs. */
async function logServer(cluster: FakeCluster, log = silentLogger, peerTimeoutMs?: number) {
  const dependencies = { ...cluster, presence: kubeletPresence(peerTimeoutMs) };
  const done: Promise<void>[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "", "http://x");
    const info = requestInfo(request.method ?? "", url);
    const user = { name: "u", groups: [] };
    try {
      await podLog(dependencies, { info, user, request, response, url, signal: new AbortController().signal, log });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      response.writeHead(error.code, { "Content-Type": "application/json" }).end(JSON.stringify(error.status));
    }
  };
  const server = createServer((request, response) => void done.push(answer(request, response)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    done,
    open: async (query: string, pod = "web") => {
      const sent = request({
        port,
        host: "127.0.0.1",
        path: `/api/v1/namespaces/default/pods/${pod}/log${query}`,
        agent: false,
      });
      sent.end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      return { sent, response };
    },
    async get(query = "", pod = "web") {
      const { response } = await this.open(query, pod);
      let text = "";
      for await (const chunk of response) text += chunk;
      return { code: response.statusCode, type: response.headers["content-type"], text };
    },
    async refusal(query = "", pod = "web") {
      const { code, text } = await this.get(query, pod);
      const { message, reason } = JSON.parse(text) as Status;
      return { code, reason, message };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all(done);
    },
  };
}

test("the kubelet is asked with every option, by our certificate, and its answer passed on", async () => {
  const asked: (string | undefined)[] = [];
  await using cluster = await fakeCluster({
    onRequest: (request, response) => {
      asked.push(request.url, request.headers.authorization);
      response.end("a line\n");
    },
  });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster);
  const query =
    "?follow=true&previous=1&timestamps=true&tailLines=5&limitBytes=100&sinceTime=2026-01-01T00:00:00Z&stream=Stdout";
  assert.deepEqual(await server.get(query), { code: 200, type: "text/plain", text: "a line\n" });
  const want =
    "/containerLogs/default/web/nginx?follow=true&limitBytes=100&previous=true&sinceTime=2026-01-01T00%3A00%3A00Z&stream=Stdout&tailLines=5&timestamps=true";
  assert.deepEqual(asked, [want, undefined]);
  assert.deepEqual(cluster.clients, ["kube-apiserver-kubelet-client"]);
});

test("a follower gets each piece at once, and its kubelet hears when it goes", async () => {
  let kubelet: ServerResponse | undefined;
  await using cluster = await fakeCluster({
    onRequest: (_, response) => {
      kubelet = response;
      response.flushHeaders();
    },
  });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster);
  const { sent, response } = await server.open("?follow=true");
  assert.equal(response.statusCode, 200, "headers come before any line");
  for (const line of ["one\n", "two\n"]) {
    kubelet?.write(line);
    assert.equal(String((await once(response, "data"))[0]), line);
  }
  const gone = once(kubelet as ServerResponse, "close");
  sent.destroy();
  await gone;
  await Promise.all(server.done);
});

test("a log that breaks off does not look complete", async () => {
  await using cluster = await fakeCluster({
    onRequest: (_, response) => {
      response.write("half");
      setImmediate(() => response.destroy());
    },
  });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster);
  await assert.rejects(server.get("?follow=true"), { code: "ECONNRESET" });
});

for (const [name, code, body, want] of [
  [
    "400",
    400,
    'container "c" in pod "web" is waiting to start: ContainerCreating',
    { code: 400, reason: "BadRequest", message: 'container "c" in pod "web" is waiting to start: ContainerCreating' },
  ],
  [
    "500",
    500,
    "failed to open log",
    { code: 500, reason: "InternalError", message: "Internal error occurred: failed to open log" },
  ],
  [
    "404",
    404,
    "pod does not exist",
    { code: 404, reason: "NotFound", message: "the server could not find the requested resource ( pods/log web)" },
  ],
  ["403", 403, "Forbidden (user=x)", { code: 403, reason: "Forbidden", message: "Forbidden (user=x) ( pods/log web)" }],
  [
    "503",
    503,
    "busy",
    {
      code: 503,
      reason: "ServiceUnavailable",
      message: "the server is currently unable to handle the request ( pods/log web)",
    },
  ],
  [
    "502",
    502,
    "bad",
    {
      code: 502,
      reason: "InternalError",
      message: 'an error on the server ("bad") has prevented the request from succeeding ( pods/log web)',
    },
  ],
  ["a redirect", 302, "", { code: 500, reason: undefined, message: "redirects forbidden" }],
] as const) {
  test(`the kubelet's refusal becomes a Status: ${name}`, async () => {
    await using cluster = await fakeCluster({
      onRequest: (_, response) => response.writeHead(code, { Location: "https://127.0.0.1/" }).end(body),
    });
    cluster.addPod("web", ["nginx"]);
    await using server = await logServer(cluster);
    assert.deepEqual(await server.refusal(), want);
  });
}

test("what was asked wrongly is told before any kubelet is", async () => {
  await using cluster = await fakeCluster({ onRequest: () => assert.fail("the kubelet was asked") });
  cluster.addPod("web", ["a", "b"], { initContainers: [{ name: "init" }] });
  cluster.addPod("empty", []);
  cluster.addPod("pending", ["c"], { nodeName: undefined });
  cluster.addPod("lost", ["c"], { nodeName: "gone" });
  await using server = await logServer(cluster);
  assert.deepEqual(await server.refusal("", "none"), {
    code: 404,
    reason: "NotFound",
    message: 'pods "none" not found',
  });
  assert.deepEqual(await server.refusal(), {
    code: 400,
    reason: "BadRequest",
    message: "a container name must be specified for pod web, choose one of: [init a b]",
  });
  assert.equal((await server.refusal("?container=x")).message, "container x is not valid for pod web");
  assert.equal((await server.refusal("", "empty")).message, "a container name must be specified for pod empty");
  assert.deepEqual(await server.get("", "pending"), { code: 200, type: "text/plain", text: "" });
  assert.deepEqual(await server.refusal("", "lost"), {
    code: 404,
    reason: "NotFound",
    message: 'nodes "gone" not found',
  });
  const invalid: [string, string][] = [
    ["tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"],
    ["limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"],
    ["sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"],
    ["stream=Both", 'stream: Unsupported value: "Both": supported values: "All", "Stdout", "Stderr"'],
  ];
  for (const [query, why] of invalid) {
    const message = `PodLogOptions "web" is invalid: ${why}`;
    assert.deepEqual(await server.refusal(`?${query}`), { code: 422, reason: "Invalid", message });
  }
});

test("a kubelet that is down: the real text", async () => {
  await using cluster = await fakeCluster();
  cluster.addPod("web", ["nginx"]);
  const { port } = cluster;
  await new Promise<void>((resolve) => cluster.server.close(() => resolve()));
  await using server = await logServer(cluster);
  const { code, message } = await server.refusal();
  assert.equal(code, 500);
  assert.equal(
    message,
    `Get "https://127.0.0.1:${port}/containerLogs/default/web/nginx": dial tcp 127.0.0.1:${port}: connect: connection refused`,
  );
});

for (const [name, serving, why] of [
  [
    "another CA's certificate",
    async () => servingCertificate(await createCA({ commonName: "ca" })),
    /tls: failed to verify certificate: x509: certificate signed by unknown authority$/,
  ],
  [
    "another node's certificate",
    (ca) => servingCertificate(ca, "other"),
    /x509: certificate is valid for other, 127\.0\.0\.1, not worker$/,
  ],
  [
    "a self-signed certificate",
    () => createCA({ commonName: "worker" }),
    /x509: certificate signed by unknown authority$/,
  ],
] as [string, (ca: Awaited<ReturnType<typeof createCA>>) => ReturnType<typeof createCA>, RegExp][]) {
  test(`a kubelet with ${name} is refused, and read only when the client says so`, async () => {
    await using cluster = await fakeCluster({ serving, onRequest: (_, response) => response.end("x") });
    cluster.addPod("web", ["nginx"]);
    await using server = await logServer(cluster);
    assert.match((await server.refusal()).message ?? "", why);
    assert.equal((await server.get("?insecureSkipTLSVerifyBackend=true")).text, "x");
  });
}

test("a node at a loopback or link-local address is not dialled unless allowed", async () => {
  const { findKubelets } = await import("../../../proxy/kubelet-connection.ts");
  for (const [address, allowLoopback] of [
    ["127.0.0.1", false],
    ["::ffff:127.0.0.1", false],
    ["169.254.169.254", true],
    ["0.0.0.0", true],
    ["fe80::1", true],
  ] as const) {
    await using cluster = await fakeCluster({ nodeStatus: { addresses: [{ type: "InternalIP", address }] } });
    cluster.addPod("web", ["nginx"]);
    const findKubelet = findKubelets({ objects: cluster.objects, kubelet: { ...cluster.kubelet, allowLoopback } });
    await using server = await logServer(Object.assign(cluster, { findKubelet }));
    assert.match((await server.refusal()).message ?? "", /^address not allowed: /, address);
  }
  await using cluster = await fakeCluster({ nodeStatus: { addresses: [{ type: "Other", address: "x" }] } });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster);
  assert.equal((await server.refusal()).message, "no preferred addresses found; known addresses: [{Other x}]");
});

test("at -v=8 the log names the backend", async () => {
  const lines: string[] = [];
  await using cluster = await fakeCluster();
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(
    cluster,
    createLogger({ verbosity: 8, sink: { write: (line) => lines.push(line) } }),
  );
  await server.get();
  assert.match(lines.join(""), new RegExp(`https://127.0.0.1:${cluster.port}/containerLogs/default/web/nginx`));
});

test("logs that are followed, and quiet, go on while their kubelet answers, and break off when it does not: one question for all of them", async () => {
  const questions: ServerResponse[] = [];
  const asked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  await using cluster = await fakeCluster({
    onRequest(request, response) {
      if (request.url !== "/healthz") return void response.write("a line\n");
      asked[questions.push(response) === 1 ? 0 : 1].resolve();
      if (questions.length === 1) response.writeHead(500).end(); // which is an answer
    },
  });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster, silentLogger, 250);
  const follow = async () => {
    let text = "";
    const { response } = await server.open("?follow=true");
    try {
      for await (const chunk of response) text += chunk;
    } catch {
      return `${text}broke off`;
    }
    return text;
  };
  const follows = [follow(), follow()];
  await asked[0].promise;
  await asked[1].promise;
  assert.deepEqual(await Promise.all(follows), ["a line\nbroke off", "a line\nbroke off"]);
  assert.ok(questions.length <= 4, `${questions.length} questions`);
});

/** Of any request but the question whether the kubelet is there: it is for a log, whose first line this sends. */
function isFollowed(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.url === "/healthz") return false;
  response.write("one\n");
  return true;
}

test("a log that goes on while its kubelet is asked is not given up, though that question stays unanswered", async () => {
  const log = Promise.withResolvers<ServerResponse>();
  let questions = 0;
  await using cluster = await fakeCluster({
    async onRequest(request, response) {
      if (isFollowed(request, response)) return log.resolve(response);
      const follower = await log.promise;
      if (++questions === 1) return void follower.write("two\n"); // and this question stays open
      response.end();
      follower.end("three\n");
    },
  });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster, silentLogger, 250);
  assert.equal((await server.get("?follow=true")).text, "one\ntwo\nthree\n");
});

test("a log whose kubelet starts again within the time, and refuses meanwhile, goes on", async () => {
  const log = Promise.withResolvers<ServerResponse>();
  let questions = 0;
  await using cluster = await fakeCluster({
    async onRequest(request, response) {
      if (isFollowed(request, response)) return log.resolve(response);
      if (++questions < 3) return void request.socket.destroy();
      response.end();
      (await log.promise).end("two\n");
    },
  });
  cluster.addPod("web", ["nginx"]);
  await using server = await logServer(cluster, silentLogger, 500);
  assert.equal((await server.get("?follow=true")).text, "one\ntwo\n");
  assert.equal(questions, 3);
});
