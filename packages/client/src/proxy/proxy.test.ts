import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { exitStatus, parsePodExecOptions } from "@hawser/api";
import { acceptRemoteCommand } from "@hawser/streaming";
import { createClient } from "../client.ts";
import { exec } from "../remotecommand.ts";
import { authority } from "../testing/certificates.ts";
import { fakeProxy } from "../testing/fake-proxy.ts";
import { answerJSON, fakeServer } from "../testing/fake-server.ts";
import { proxyOfEnvironment } from "./choose.ts";

function echoServer() {
  return fakeServer(
    (_, response) => answerJSON(response, { ok: true }),
    async (upgrade) => {
      const query = new URL(upgrade.request.url ?? "", "https://h").searchParams;
      await using session = await acceptRemoteCommand(upgrade, parsePodExecOptions(query));
      for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
      await session.finish(exitStatus(5));
    },
  );
}

const user = { name: "me@work", password: "p w" };
const ways = [
  { name: "http", scheme: "http", user: undefined },
  { name: "http with a password", scheme: "http", user },
  { name: "https", scheme: "https", user: undefined },
  { name: "socks5", scheme: "socks5", user: undefined },
  { name: "socks5 with a password", scheme: "socks5", user },
] as const;

describe("through a proxy", () => {
  for (const way of ways) {
    it(`${way.name}: requests, WebSocket and SPDY`, async () => {
      const before = getCACertificates("default");
      setDefaultCACertificates([...before, authority]);
      try {
        await using server = await echoServer();
        await using proxy = await fakeProxy(way.scheme, way.user ? { user: way.user } : {});
        // A name that only the proxy knows, and that is the certificate's.
        const url = new URL(server.config.server);
        const config = {
          ...server.config,
          server: new URL(`https://only.the.proxy:${url.port}/`),
          tls: { ...server.config.tls, servername: "localhost" },
          proxy: proxy.url,
        };
        await using client = createClient(config);
        assert.deepEqual(await client.request({ method: "GET", path: "/x" }), { ok: true });
        for (const transport of ["websocket", "spdy"] as const) {
          // The first session may take the request's own connection over; a client of its own has none.
          await using fresh = createClient(config);
          const parts: Uint8Array[] = [];
          const stdout = { write: async (chunk: Uint8Array) => void parts.push(chunk) };
          const options = { namespace: "default", pod: "web", command: ["cat"], stdin: "hello", stdout };
          const { exitCode } = await exec(fresh, { ...options, transports: [transport] });
          assert.equal(exitCode, 5);
          assert.equal(Buffer.concat(parts).toString(), "hello");
        }
        const who = way.user ? ` ${way.user.name}:${way.user.password}` : "";
        assert.deepEqual(proxy.asked, Array(3).fill(`only.the.proxy:${url.port}${who}`));
      } finally {
        setDefaultCACertificates(before);
      }
    });
  }

  const refusals = [
    { scheme: "http", answer: "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", want: /it answered 407 Proxy/ },
    { scheme: "http", answer: "SSH-2.0-x\r\n\r\n", want: /its answer to CONNECT is not HTTP$/ },
    { scheme: "http", answer: "", want: /it hung up$/ },
    { scheme: "http", answer: `HTTP/1.1 200 ${"x".repeat(40_000)}`, want: /more than 16384 bytes$/ },
    { scheme: "socks5", answer: "2", want: /connection not allowed by its rules$/ },
  ] as const;
  for (const { scheme, answer, want } of refusals) {
    it(`${scheme}: says what the proxy said: ${want.source}`, async () => {
      await using server = await echoServer();
      await using proxy = await fakeProxy(scheme, { answer });
      const config = { ...server.config, proxy: proxy.url };
      await using client = createClient(config);
      const expected = { name: "ConnectionError", kind: "proxy", message: want };
      await assert.rejects(client.request({ method: "GET", path: "/x" }), expected);
      const options = { namespace: "default", pod: "web", command: ["cat"] };
      await assert.rejects(exec(client, options), expected);
      assert.deepEqual(server.requests, []);
    });
  }

  it("a wrong SOCKS password is told", async () => {
    await using server = await echoServer();
    await using proxy = await fakeProxy("socks5", { user });
    proxy.url.password = "wrong";
    await using client = createClient({ ...server.config, proxy: proxy.url });
    await assert.rejects(client.request({ method: "GET", path: "/x" }), {
      message: /refused the user name and password$/,
    });
  });

  it("a proxy that is not there, and one that never answers and a caller that gives up", async () => {
    await using server = await echoServer();
    const silent = createServer();
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const connected = once(silent, "connection");
    const give = new AbortController();
    await using client = createClient({ ...server.config, proxy: new URL(`http://127.0.0.1:${port}`) });
    const request = client.request({ method: "GET", path: "/x", signal: give.signal });
    const [socket] = await connected;
    give.abort(new Error("enough"));
    await assert.rejects(request, { message: "enough" });
    socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
    await using late = createClient({ ...server.config, proxy: new URL(`http://127.0.0.1:${port}`) });
    await assert.rejects(late.request({ method: "GET", path: "/x" }), { kind: "proxy", message: /ECONNREFUSED/ });
  });
});

describe("proxyOfEnvironment", () => {
  const env = { HTTPS_PROXY: "proxy:3128", http_proxy: "socks5://s" };
  const cases: { server: string; no?: string; want: string | undefined }[] = [
    { server: "https://api.example.com", want: "http://proxy:3128/" },
    { server: "http://api.example.com", want: "socks5://s" },
    { server: "https://localhost:6443", want: undefined },
    { server: "https://127.0.0.9", want: undefined },
    { server: "https://[::1]", want: undefined },
    { server: "https://api.example.com", no: "*", want: undefined },
    { server: "https://api.example.com", no: "other, example.com", want: undefined },
    { server: "https://example.com", no: ".example.com", want: "http://proxy:3128/" },
    { server: "https://api.example.com", no: ".EXAMPLE.com", want: undefined },
    { server: "https://badexample.com", no: "example.com", want: "http://proxy:3128/" },
    { server: "https://api.example.com:6443", no: "api.example.com:443", want: "http://proxy:3128/" },
    { server: "https://api.example.com", no: "api.example.com:443", want: undefined },
    { server: "https://10.1.2.3", no: "10.0.0.0/8", want: undefined },
    { server: "https://11.1.2.3", no: "10.0.0.0/8,10.1.2.3", want: "http://proxy:3128/" },
    { server: "https://[fd00::5]", no: "fd00::/8", want: undefined },
    { server: "https://10.1.2.3", no: "10.1.2.3", want: undefined },
  ];
  for (const { server, no, want } of cases) {
    it(`${server}${no ? ` with NO_PROXY=${no}` : ""}: ${want ?? "none"}`, () => {
      const found = proxyOfEnvironment(new URL(server), { ...env, ...(no && { NO_PROXY: no }) });
      assert.equal(found?.href, want);
    });
  }
  it("refuses what is no URL", () => {
    assert.throws(() => proxyOfEnvironment(new URL("https://h"), { HTTPS_PROXY: "ftp://x" }), {
      name: "KubeconfigError",
      message: 'invalid proxy address HTTPS_PROXY="ftp://x"',
    });
  });
});
