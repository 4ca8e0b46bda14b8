import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { httpServer, silentServer } from "../testing/server.ts";
import { isLoopback } from "./loopback.ts";
import { defaultTimeouts } from "./timeouts.ts";
import { createTransport } from "./transport.ts";

const signal = new AbortController().signal;

describe("Transport", () => {
  it("follows redirects, and gives Authorization to no other origin", async () => {
    const seen: (string | undefined)[] = [];
    await using other = await httpServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end("blob");
    });
    await using first = await httpServer((request, response) => {
      seen.push(request.headers.authorization);
      const location = request.url === "/a" ? "/b" : `http://${other.address}/c`;
      response.writeHead(307, { Location: location }).end();
    });
    using transport = createTransport();
    const url = new URL(`http://${first.address}/a`);
    const response = await transport.request({ method: "GET", url, headers: { Authorization: "Basic x" }, signal });
    assert.equal(Buffer.concat(await Array.fromAsync(response.body)).toString(), "blob");
    assert.deepEqual(seen, ["Basic x", "Basic x", undefined]);
    assert.equal(response.url.pathname, "/c");
  });

  it("gives up after ten redirects", async () => {
    await using server = await httpServer((_, response) => response.writeHead(302, { Location: "/again" }).end());
    using transport = createTransport();
    const url = new URL(`http://${server.address}/x`);
    await assert.rejects(transport.request({ method: "HEAD", url, signal }), {
      message: /^Head ".*": stopped after 10 redirects$/,
    });
  });

  it("says where a redirect led to, without the signature in its query", async () => {
    const gone = await httpServer((_, response) => response.end());
    await gone[Symbol.asyncDispose]();
    const location = `http://${gone.address}/blob?X-Signature=secret`;
    await using server = await httpServer((_, response) => response.writeHead(307, { Location: location }).end());
    using transport = createTransport();
    const url = new URL(`http://${server.address}/x?ns=docker.io`);
    await assert.rejects(transport.request({ method: "GET", url, signal }), {
      message: `Get "http://${gone.address}/blob": dial tcp ${gone.address}: connect: connection refused`,
    });
  });

  it("gives up on silence, before the head and within a body", async () => {
    await using silent = await silentServer();
    await using stuck = await httpServer((_, response) => {
      response.writeHead(200, { "Content-Length": 100 });
      response.write("begin");
    });
    using transport = createTransport({ ...defaultTimeouts, response: 30, idle: 30 });
    await assert.rejects(transport.request({ method: "GET", url: new URL(`http://${silent.address}/`), signal }), {
      name: "ConnectionError",
      message: /net\/http: timeout awaiting response headers$/,
    });
    const response = await transport.request({ method: "GET", url: new URL(`http://${stuck.address}/`), signal });
    await assert.rejects(Array.fromAsync(response.body), { message: /i\/o timeout$/ });
  });

  it("stops when aborted, with the signal's reason", async () => {
    await using silent = await silentServer();
    using transport = createTransport();
    const abort = new AbortController();
    const url = new URL(`http://${silent.address}/`);
    const request = transport.request({ method: "GET", url, signal: abort.signal });
    abort.abort(new Error("enough"));
    await assert.rejects(request, { message: "enough" });
  });

  it("says in Go's words that a plain server was spoken to by TLS", async () => {
    await using server = await httpServer((_, response) => response.end());
    using transport = createTransport();
    const url = new URL(`https://${server.address}/`);
    await assert.rejects(transport.request({ method: "GET", url, signal }), {
      message: /^Get "https:.*": http: server gave HTTP response to HTTPS client$/,
    });
  });

  it("says that a name does not exist", async () => {
    using transport = createTransport();
    const url = new URL("https://no-such-host.invalid/");
    await assert.rejects(transport.request({ method: "GET", url, signal }), {
      message: /dial tcp: lookup no-such-host\.invalid: (no such host|Temporary failure in name resolution)$/,
    });
  });
});

it("isLoopback knows names and addresses", () => {
  for (const host of ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"]) assert.ok(isLoopback(host), host);
  for (const host of ["localhost.evil.com", "128.0.0.1", "127.0.0.1.nip.io", "[::2]"])
    assert.ok(!isLoopback(host), host);
});
