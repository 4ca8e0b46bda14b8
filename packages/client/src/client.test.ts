import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { notFound, type Pod, StatusError } from "@hawser/api";
import { createClient } from "./client.ts";
import { ConnectionError } from "./connection-error.ts";
import { queryString } from "./query.ts";
import { answerJSON, bodyText, fakeServer } from "./testing/fake-server.ts";

const pods = { resource: "pods", namespace: "default" };

describe("createClient: requests", () => {
  it("sends each verb to its path, over one connection", async () => {
    await using server = await fakeServer((request, response) => {
      bodyText(request).then(
        (body) => answerJSON(response, { items: [], metadata: {}, sent: body && JSON.parse(body) }),
        assert.ifError,
      );
    });
    await using client = createClient(server.config);
    const pod: Pod = { metadata: { name: "web" } };
    await client.get({ ...pods, name: "web" });
    await client.list(pods, { labelSelector: "a=b", limit: 5 });
    const created: unknown = await client.create(pods, pod, { fieldManager: "test" });
    await client.update({ ...pods, name: "web" }, pod);
    await client.patch({ ...pods, name: "web", subresource: "status" }, [], { type: "json" });
    await client.delete({ ...pods, name: "web" }, { gracePeriodSeconds: 0 });
    await client.get({
      apiVersion: "coordination.k8s.io/v1",
      resource: "leases",
      namespace: "kube-node-lease",
      name: "n1",
    });
    assert.deepEqual(server.requests, [
      "GET /api/v1/namespaces/default/pods/web",
      "GET /api/v1/namespaces/default/pods?labelSelector=a%3Db&limit=5",
      "POST /api/v1/namespaces/default/pods?fieldManager=test",
      "PUT /api/v1/namespaces/default/pods/web",
      "PATCH /api/v1/namespaces/default/pods/web/status",
      "DELETE /api/v1/namespaces/default/pods/web",
      "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1",
    ]);
    assert.deepEqual((created as { sent: unknown }).sent, pod);
    assert.equal(server.connections, 1);
  });

  it("shows its certificate", async () => {
    await using server = await fakeServer((request, response) => {
      answerJSON(response, (request.socket as TLSSocket).getPeerCertificate().subject);
    });
    await using client = createClient(server.config);
    const subject = await client.request({ method: "GET", path: "/" });
    assert.equal((subject as { CN: string }).CN, "tester");
  });

  it("throws the Status of an answer", async () => {
    await using server = await fakeServer((_, response) =>
      answerJSON(response, notFound({ resource: "pods" }, "x").status, 404),
    );
    await using client = createClient(server.config);
    await assert.rejects(client.get({ ...pods, name: "x" }), (error: StatusError) => {
      assert.ok(error instanceof StatusError);
      assert.equal(error.message, 'pods "x" not found');
      assert.equal(error.code, 404);
      assert.equal(error.reason, "NotFound");
      return true;
    });
  });

  it("finds words for an error without a Status", async () => {
    await using server = await fakeServer((_, response) => {
      response.writeHead(502);
      response.end("bad gateway\n");
    });
    await using client = createClient(server.config);
    await assert.rejects(client.get({ ...pods, name: "x" }), {
      name: "StatusError",
      message: 'an error on the server ("bad gateway") has prevented the request from succeeding',
    });
  });

  it("asks once more with fresh credentials after a 401", async () => {
    await using server = await fakeServer((request, response) => {
      if (request.headers.authorization === "Bearer new") answerJSON(response, { ok: true });
      else answerJSON(response, { kind: "Status", status: "Failure", reason: "Unauthorized", code: 401 }, 401);
    });
    const config = {
      ...server.config,
      headers: async ({ stale = false } = {}) => ({ Authorization: stale ? "Bearer new" : "Bearer old" }),
    };
    await using client = createClient(config);
    assert.deepEqual(await client.request({ method: "GET", path: "/x" }), { ok: true });
    assert.equal(server.requests.length, 2);
  });

  it("hands on warnings", async () => {
    await using server = await fakeServer((_, response) => {
      response.setHeader("Warning", '299 - "old \\"thing\\"", 299 - "two"');
      answerJSON(response, {});
    });
    const seen: string[] = [];
    await using client = createClient(server.config, { onWarning: (text) => seen.push(text) });
    await client.request({ method: "GET", path: "/" });
    assert.deepEqual(seen, ['old "thing"', "two"]);
  });

  it("refuses an answer beyond its bound", async () => {
    await using server = await fakeServer((_, response) => answerJSON(response, "x".repeat(1000)));
    await using client = createClient(server.config, { maxAnswerBytes: 100 });
    await assert.rejects(client.request({ method: "GET", path: "/" }), /more than 100 bytes/);
  });

  it("sends a GET again when the server had closed the idle connection", async () => {
    let served = 0;
    await using server = await fakeServer((request, response) => {
      if (++served === 2) request.socket.destroy();
      else answerJSON(response, { served });
    });
    await using client = createClient(server.config);
    await client.request({ method: "GET", path: "/" });
    assert.deepEqual(await client.request({ method: "GET", path: "/" }), { served: 3 });
  });

  it("closes an idle connection before its server does, so that no write meets the closing", async () => {
    const closed = Promise.withResolvers<"client" | "server">();
    await using server = await fakeServer((request, response) => {
      request.socket.once("end", () => closed.resolve("client")); // which one that we close does not say of itself
      request.socket.once("close", () => closed.resolve("server"));
      response.setHeader("Keep-Alive", "timeout=2");
      answerJSON(response, {});
    });
    await using client = createClient(server.config);
    const begin = performance.now();
    await client.request({ method: "GET", path: "/" });
    assert.equal(await closed.promise, "client"); // where the server has not said 2 s, it would have closed first, after 5 s
    assert.ok(performance.now() - begin > 900);
  });

  it("never deletes a collection for want of a name", async () => {
    await using server = await fakeServer((_, response) => answerJSON(response, {}));
    await using client = createClient(server.config);
    await assert.rejects(client.delete({ ...pods, name: "" }), /name may not be empty/);
    assert.equal(server.requests.length, 0);
  });
});

describe("createClient: what stands in the way", () => {
  it("a refused connection, in kubectl's words", async () => {
    const closed = createServer();
    const port = await new Promise<number>((resolve) => {
      closed.listen(0, "127.0.0.1", () => resolve((closed.address() as { port: number }).port));
    });
    await new Promise((resolve) => closed.close(resolve));
    await using server = await fakeServer(() => {});
    await using client = createClient({ ...server.config, server: new URL(`https://127.0.0.1:${port}`) });
    await assert.rejects(client.list(pods), {
      name: "ConnectionError",
      kind: "refused",
      message: `The connection to the server 127.0.0.1:${port} was refused - did you specify the right host or port?`,
    });
  });

  it("an unknown authority, in kubectl's words", async () => {
    await using server = await fakeServer((_, response) => answerJSON(response, {}));
    await using client = createClient({ ...server.config, tls: {} });
    await assert.rejects(client.list(pods), {
      name: "ConnectionError",
      kind: "tls",
      message:
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
    });
  });

  it("a certificate for another name, in kubectl's words", async () => {
    await using server = await fakeServer((_, response) => answerJSON(response, {}));
    await using client = createClient({ ...server.config, tls: { ...server.config.tls, servername: "other.example" } });
    await assert.rejects(client.list(pods), {
      message: /x509: certificate is valid for localhost, 127\.0\.0\.1, not other\.example/,
    });
  });

  it("no answer in time", async () => {
    await using server = await fakeServer(() => {});
    await using client = createClient(server.config);
    await assert.rejects(client.request({ method: "GET", path: "/slow", timeoutMs: 20 }), {
      name: "ConnectionError",
      kind: "timeout",
    });
  });

  it("an abort, with its reason", async () => {
    await using server = await fakeServer(() => stop.abort(new Error("enough")));
    const stop = new AbortController();
    await using client = createClient(server.config);
    await assert.rejects(client.request({ method: "GET", path: "/slow", signal: stop.signal }), { message: "enough" });
  });

  it("an answer cut short", async () => {
    await using server = await fakeServer((_, response) => {
      response.writeHead(200, { "Content-Length": "100" });
      response.write("half", () => response.destroy());
    });
    await using client = createClient(server.config);
    await assert.rejects(client.request({ method: "GET", path: "/" }), ConnectionError);
    const { body } = await client.stream({ method: "GET", path: "/" });
    await assert.rejects(async () => {
      for await (const _ of body);
    }, ConnectionError);
  });
});

describe("createClient: watch", () => {
  it("gives events however the bytes are cut, and ends with the answer", async () => {
    const text = [1, 2, 3]
      .map((n) => `${JSON.stringify({ type: "ADDED", object: { metadata: { name: `ä${n}` } } })}\n`)
      .join("");
    await using server = await fakeServer((_, response) => {
      for (const byte of Buffer.from(text)) response.write(Uint8Array.of(byte));
      response.end();
    });
    await using client = createClient(server.config);
    const names: unknown[] = [];
    for await (const event of client.watch<Pod>(
      { ...pods, name: "web" },
      { resourceVersion: "7", allowWatchBookmarks: true },
    )) {
      assert.equal(event.type, "ADDED");
      names.push(event.object.metadata);
    }
    assert.deepEqual(names, [{ name: "ä1" }, { name: "ä2" }, { name: "ä3" }]);
    assert.deepEqual(server.requests, [
      "GET /api/v1/namespaces/default/pods?resourceVersion=7&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dweb&watch=true",
    ]);
  });

  it("ends quietly on abort, and closes its connection", async () => {
    const gone = Promise.withResolvers<void>();
    await using server = await fakeServer((request, response) => {
      request.socket.once("close", () => gone.resolve());
      response.write(`${JSON.stringify({ type: "ADDED", object: {} })}\n`);
    });
    await using client = createClient(server.config);
    const stop = new AbortController();
    for await (const _ of client.watch(pods, { signal: stop.signal })) stop.abort();
    await gone.promise;
  });

  it("throws when the server refuses", async () => {
    await using server = await fakeServer((_, response) =>
      answerJSON(response, notFound({ resource: "pods" }, "x").status, 404),
    );
    await using client = createClient(server.config);
    await assert.rejects(async () => {
      for await (const _ of client.watch(pods));
    }, StatusError);
  });
});

it("queryString leaves out what is not set and repeats lists", () => {
  assert.equal(
    queryString({ a: 1, b: undefined, c: false, d: ["x y", "z"], e: true, f: "" }),
    "a=1&d=x+y&d=z&e=true&f=",
  );
});
