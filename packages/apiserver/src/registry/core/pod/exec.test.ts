import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { exitStatus, StatusError } from "@hawser/api";
import { createCA, type KeyPair } from "@hawser/pki";
import {
  acceptPortForward,
  acceptRemoteCommand,
  openPortForward,
  openRemoteCommand,
  refuseUpgrade,
  type ServerSession,
  type UpgradeError,
} from "@hawser/streaming";
import { createLogger, silentLogger } from "@hawser/trace";
import { createPodStreams } from "../../../proxy/index.ts";
import { type FakeCluster, fakeCluster, servingCertificate } from "../../../proxy/testing/fake-kubelet.ts";
import type { Attributes } from "../../../request.ts";
import { requestInfo } from "../../../request-info.ts";

interface ServerOptions {
  log?: typeof silentLogger;
  verbs?: string[];
}

/** An API server that can do nothing but sessions, for a user who may do `verbs`. */
async function sessionServer(
  cluster: FakeCluster,
  { log = silentLogger, verbs = ["get", "create"] }: ServerOptions = {},
) {
  const decide = async (_: unknown, { verb }: Attributes) => ({ allowed: verbs.includes(verb), reason: "" });
  const pods = createPodStreams({ objects: cluster.objects, access: { decide }, kubelet: cluster.kubelet });
  const connect = async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const url = new URL(request.url ?? "", "http://x");
    const info = requestInfo(request.method ?? "", url);
    const user = { name: "u", groups: [] };
    const gone = new AbortController();
    socket.on("error", () => {}).on("close", () => gone.abort());
    const upgrade = { request, socket, head };
    try {
      const what = info.subresource as "exec" | "attach" | "portforward";
      await pods.connectPod(what, { info, user, request, url, signal: gone.signal, log }, upgrade);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const body = JSON.stringify(error.status);
      refuseUpgrade(upgrade, { statusCode: error.code, contentType: "application/json", body });
    }
  };
  const server = createServer();
  const sockets = new Set<Duplex>();
  server.on("upgrade", (request, socket, head) => {
    sockets.add(socket);
    void connect(request, socket, head);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    sockets,
    url: (path: string) => new URL(`http://127.0.0.1:${port}/api/v1/namespaces/default/pods/${path}`),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await pods[Symbol.asyncDispose]();
    },
  };
}

const streams = { stdin: true, stdout: true, stderr: true, tty: false };
const query = "container=c&command=cat&stdin=true&stdout=true&stderr=true";

/** A kubelet's exec of `cat`, with the exit code 3. */
function catKubelet(seen: IncomingMessage[] = [], sessions: ServerSession[] = []) {
  return async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    seen.push(request);
    const session = await acceptRemoteCommand({ request, socket, head }, streams);
    sessions.push(session);
    try {
      for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
      await session.finish(exitStatus(3));
    } catch {
      // the client is gone
    } finally {
      await session[Symbol.asyncDispose]();
    }
  };
}

async function text(source: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const speaksWebSocket = { nodeStatus: { declaredFeatures: ["ExtendWebSocketsToKubelet"] } };

for (const { name, transport, options, kubeletSees } of [
  { name: "SPDY is spliced", transport: "spdy", options: {}, kubeletSees: "SPDY/3.1" },
  {
    name: "SPDY is spliced to a kubelet that knows more",
    transport: "spdy",
    options: speaksWebSocket,
    kubeletSees: "SPDY/3.1",
  },
  {
    name: "WebSocket is spliced to a kubelet that knows it",
    transport: "websocket",
    options: speaksWebSocket,
    kubeletSees: "websocket",
  },
  {
    name: "WebSocket is translated for one that does not",
    transport: "websocket",
    options: {},
    kubeletSees: "SPDY/3.1",
  },
] as const) {
  test(`exec: ${name}`, async () => {
    const seen: IncomingMessage[] = [];
    await using cluster = await fakeCluster({ ...options, onUpgrade: catKubelet(seen) });
    cluster.addPod("web", ["c"]);
    await using server = await sessionServer(cluster);
    const headers = {
      authorization: "Bearer s3cret",
      cookie: "s3cret",
      "x-remote-user": "root",
      "user-agent": "test/1",
    };
    const target = { url: server.url(`web/exec?${query}`), headers };
    await using session = await openRemoteCommand(target, { ...streams, transports: [transport] });
    await session.stdin?.write(Buffer.from("hello"));
    await session.stdin?.close();
    const [out, err, status] = await Promise.all([text(session.stdout), text(session.stderr), session.status]);
    assert.deepEqual([out, err, status.details?.causes?.[0]?.message], ["hello", "", "3"]);
    const [request] = seen;
    assert.equal(request?.headers.upgrade, kubeletSees);
    assert.equal(request?.url, "/exec/default/web/c?command=cat&error=1&input=1&output=1");
    assert.equal(request?.headers["user-agent"], "test/1");
    assert.equal(request?.headers["x-forwarded-for"], "127.0.0.1");
    assert.doesNotMatch(request?.rawHeaders.join() ?? "", /s3cret|x-remote/i);
    assert.deepEqual(cluster.clients, ["kube-apiserver-kubelet-client"]);
  });
}

test("a kubelet that was met before is met faster: its TLS session is taken up again", async () => {
  await using cluster = await fakeCluster({ ...speaksWebSocket, onUpgrade: catKubelet() });
  cluster.addPod("web", ["c"]);
  await using server = await sessionServer(cluster);
  for (let round = 0; round < 3; round++) {
    await using session = await openRemoteCommand(
      { url: server.url(`web/exec?${query}`) },
      { ...streams, transports: ["websocket"] },
    );
    await session.stdin?.close();
    await Promise.all([text(session.stdout), text(session.stderr), session.status]);
  }
  assert.ok(cluster.resumed >= 1, `${cluster.resumed} of 3 were resumed`);
});

for (const transport of ["spdy", "websocket"] as const) {
  test(`when the client is killed, its kubelet connection goes too (${transport})`, async () => {
    const sessions: ServerSession[] = [];
    await using cluster = await fakeCluster({ onUpgrade: catKubelet([], sessions) });
    cluster.addPod("web", ["c"]);
    await using server = await sessionServer(cluster);
    await using session = await openRemoteCommand(
      { url: server.url(`web/exec?${query}`) },
      { ...streams, transports: [transport] },
    );
    session.status.catch(() => {}); // it is lost, as the test wants it
    await session.stdin?.write(Buffer.from("x"));
    for await (const _ of session.stdout ?? []) break;
    const [connection] = cluster.connections;
    assert.ok(connection);
    const closed = once(connection, "close");
    for (const socket of server.sockets) socket.destroy();
    await closed;
    assert.equal(cluster.connections.size, 0);
  });
}

/** What the client hears when the session does not come about. */
async function refusal(url: URL, transport: "spdy" | "websocket" = "spdy"): Promise<UpgradeError> {
  try {
    await using session = await openRemoteCommand({ url }, { ...streams, transports: [transport] });
    const outputs = [text(session.stdout), text(session.stderr)];
    for (const output of outputs) output.catch(() => {});
    const { message = "", code = 0 } = await session.status;
    return { message, statusCode: code } as UpgradeError;
  } catch (error) {
    return error as UpgradeError;
  }
}

for (const [name, path, code, message] of [
  ["an unknown pod", "none/exec", 404, 'pods "none" not found'],
  [
    "no container where there are several",
    "many/exec?command=x",
    400,
    "a container name must be specified for pod many, choose one of: [init a b dbg]",
  ],
  ["no container where there is none", "empty/exec", 400, "a container name must be specified for pod empty"],
  ["an unknown container", "web/exec?container=x", 400, "container x is not valid for pod web"],
  ["a pod without a host", "pending/attach", 400, "pod pending does not have a host assigned"],
  ["a pod without a host, its port", "pending/portforward", 400, "pod pending does not have a host assigned"],
  ["a node that is gone", "lost/exec", 404, 'nodes "gone" not found'],
] as const) {
  for (const transport of ["spdy", "websocket"] as const) {
    test(`refused before any kubelet is asked: ${name} (${transport})`, async () => {
      await using cluster = await fakeCluster({ onUpgrade: () => assert.fail("the kubelet was asked") });
      cluster.addPod("web", ["c"]);
      cluster.addPod("many", ["a", "b"], {
        initContainers: [{ name: "init" }],
        ephemeralContainers: [{ name: "dbg" }],
      });
      cluster.addPod("empty", []);
      cluster.addPod("pending", ["c"], { nodeName: undefined });
      cluster.addPod("lost", ["c"], { nodeName: "gone" });
      await using server = await sessionServer(cluster);
      const error = await refusal(server.url(path), transport);
      assert.deepEqual([error.statusCode, error.message], [code, message]);
    });
  }
}

for (const [name, path, message] of [
  ["a pod that is not there", "none/exec?command=x", 'pods "none" not found'],
  ["a container that is not there", "web/attach?container=x", "container x is not valid for pod web"],
  ["a node that is gone", "lost/portforward", 'nodes "gone" not found'],
  ["nothing but an upgrade", "web/exec?command=x", "Upgrade request required"],
  ["nothing but an upgrade", "web/attach", "Upgrade request required"],
  ["nothing but an upgrade", "web/portforward", "Upgrade request required"],
] as const) {
  test(`a plain GET of ${path} lacks ${name}`, async () => {
    await using cluster = await fakeCluster({ onUpgrade: () => assert.fail("the kubelet was asked") });
    cluster.addPod("web", ["c"]);
    cluster.addPod("lost", ["c"], { nodeName: "gone" });
    const decide = async () => ({ allowed: true, reason: "" });
    await using pods = createPodStreams({ objects: cluster.objects, access: { decide }, kubelet: cluster.kubelet });
    const url = new URL(`http://x/api/v1/namespaces/default/pods/${path}`);
    const info = requestInfo("GET", url);
    const request = { rawHeaders: [] } as unknown as IncomingMessage;
    const context = { info, user: { name: "u", groups: [] }, request, url, log: silentLogger };
    const signal = new AbortController().signal;
    const what = info.subresource as "exec" | "attach" | "portforward";
    await assert.rejects(pods.connectPod(what, { ...context, signal }, undefined), { name: "StatusError", message });
  });
}

for (const subresource of ["exec", "attach", "portforward"]) {
  test(`${subresource} by WebSocket needs create besides get, and says so`, async () => {
    await using cluster = await fakeCluster({ onUpgrade: () => assert.fail("the kubelet was asked") });
    cluster.addPod("web", ["c"]);
    await using server = await sessionServer(cluster, { verbs: ["get"] });
    const error = await refusal(server.url(`web/${subresource}`), "websocket");
    assert.equal(error.statusCode, 403);
    const what = `User "u" cannot create resource "pods/${subresource}" in API group "" in the namespace "default"`;
    assert.equal(error.message, `pods "web" is forbidden: ${what}`);
  });
}

test("create alone is enough for SPDY", async () => {
  await using cluster = await fakeCluster({ onUpgrade: catKubelet() });
  cluster.addPod("web", ["c"]);
  await using server = await sessionServer(cluster, { verbs: ["create"] });
  await using session = await openRemoteCommand(
    { url: server.url(`web/exec?${query}`) },
    { ...streams, transports: ["spdy"] },
  );
  await session.stdin?.close();
  await Promise.all([text(session.stdout), text(session.stderr), session.status]);
});

for (const transport of ["spdy", "websocket"] as const) {
  test(`a kubelet that is down: the real text, at once (${transport})`, async () => {
    await using cluster = await fakeCluster();
    cluster.addPod("web", ["c"]);
    await new Promise<void>((resolve) => cluster.server.close(() => resolve()));
    await using server = await sessionServer(cluster);
    const { message, statusCode } = await refusal(server.url(`web/exec?${query}`), transport);
    assert.equal(statusCode, 500);
    assert.ok(
      message.includes(`error dialing backend: dial tcp 127.0.0.1:${cluster.port}: connect: connection refused`),
      message,
    );
  });

  for (const [name, serving, why] of [
    [
      "another CA's",
      async () => servingCertificate(await createCA({ commonName: "ca" })),
      "x509: certificate signed by unknown authority",
    ],
    [
      "another node's",
      (ca: KeyPair) => servingCertificate(ca, "other"),
      "x509: certificate is valid for other, 127.0.0.1, not worker",
    ],
  ] as const) {
    test(`P19: a kubelet with ${name} certificate is refused (${transport})`, async () => {
      await using cluster = await fakeCluster({ serving, onUpgrade: () => assert.fail("it was spoken to") });
      cluster.addPod("web", ["c"]);
      await using server = await sessionServer(cluster);
      const { message, statusCode } = await refusal(server.url(`web/exec?${query}`), transport);
      assert.equal(statusCode, 500);
      assert.ok(message.includes(`error dialing backend: tls: failed to verify certificate: ${why}`), message);
    });
  }
}

test("what the kubelet refuses, the client reads in its words", async () => {
  await using cluster = await fakeCluster({
    onUpgrade: (request, socket, head) =>
      refuseUpgrade(
        { request, socket, head },
        { statusCode: 500, contentType: "text/plain", body: 'container not found ("c")\n' },
      ),
  });
  cluster.addPod("web", ["c"]);
  await using server = await sessionServer(cluster);
  const error = await refusal(server.url(`web/exec?${query}`));
  assert.equal(error.statusCode, 500);
  assert.match(error.message, /unable to upgrade connection: container not found \("c"\)/);
  const translated = await refusal(server.url(`web/exec?${query}`), "websocket");
  assert.equal(translated.message, 'Internal error occurred: unable to upgrade connection: container not found ("c")');
});

test("a kubelet's redirect never reaches the client", async () => {
  await using cluster = await fakeCluster({
    onUpgrade: (request, socket, head) =>
      refuseUpgrade(
        { request, socket, head },
        { statusCode: 302, contentType: "", body: "", headers: { Location: "https://evil/" } },
      ),
  });
  cluster.addPod("web", ["c"]);
  await using server = await sessionServer(cluster);
  const error = await refusal(server.url(`web/exec?${query}`));
  assert.equal(error.statusCode, 500);
  assert.equal(error.headers.location, undefined);
  assert.match(error.message, /invalid upgrade response: status code 302/);
});

test("P4: at -v=8 the log has the backend with its path, query and upgrade headers, and no secret", async () => {
  const lines: string[] = [];
  const log = createLogger({ verbosity: 8, sink: { write: (line) => lines.push(line) } });
  await using cluster = await fakeCluster({ onUpgrade: catKubelet() });
  cluster.addPod("exec-test-nginx", ["exec-test-nginx"]);
  await using server = await sessionServer(cluster, { log });
  const url = server.url("exec-test-nginx/exec?command=sh&stdin=true&stdout=true&stderr=true");
  const headers = { authorization: "Bearer s3cret" };
  await using session = await openRemoteCommand({ url, headers }, { ...streams, transports: ["spdy"] });
  await session.stdin?.close();
  await Promise.all([text(session.stdout), text(session.stderr), session.status]);
  const line = lines.find((one) => one.includes("Connecting to backend proxy")) ?? "";
  const backend = `https://127.0.0.1:${cluster.port}/exec/default/exec-test-nginx/exec-test-nginx?command=sh&error=1&input=1&output=1`;
  assert.ok(line.includes(`Connecting to backend proxy (direct dial) ${backend} Headers: map[`), line);
  assert.match(
    line,
    /Connection:\[Upgrade\].* Upgrade:\[SPDY\/3\.1\].* X-Forwarded-For:\[127\.0\.0\.1\] X-Stream-Protocol-Version:\[/,
  );
  assert.doesNotMatch(lines.join(""), /s3cret/);
});

for (const [name, transport, options] of [
  ["SPDY", "spdy", {}],
  ["a tunnel, left at the API server", "websocket", {}],
  ["a tunnel to the kubelet", "websocket", speaksWebSocket],
] as const) {
  test(`port-forward: ${name}`, async () => {
    const urls: (string | undefined)[] = [];
    await using cluster = await fakeCluster({
      ...options,
      onUpgrade: async (request, socket, head) => {
        urls.push(request.url);
        const echo = async () => {
          const { PassThrough } = await import("node:stream");
          const { sinkOf, sourceOf } = await import("@hawser/streaming");
          const pipe = new PassThrough();
          return { source: sourceOf(pipe), sink: sinkOf(pipe) };
        };
        await using session = await acceptPortForward({ request, socket, head }, { connect: echo });
        await session.closed;
      },
    });
    cluster.addPod("web", ["c"]);
    await using server = await sessionServer(cluster);
    await using session = await openPortForward({ url: server.url("web/portforward") }, { transports: [transport] });
    const stream = await session.connect(80);
    await stream.sink.write(Buffer.from("ping"));
    await stream.sink.close();
    assert.equal(await text(stream.source), "ping");
    assert.deepEqual(urls, ["/portForward/default/web"]);
  });
}
