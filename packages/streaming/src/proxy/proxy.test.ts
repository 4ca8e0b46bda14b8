import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { copy } from "../bytes.ts";
import { openRemoteCommand } from "../remotecommand/client.ts";
import { Protocol } from "../remotecommand/protocols.ts";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import type { ServerSession } from "../remotecommand/types.ts";
import { FrameDecoder } from "../spdy/decode.ts";
import { encodeDataHeader, encodePing } from "../spdy/frame.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { plainRefusal, refuseUpgrade } from "../upgrade/accept.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { proxyUpgrade } from "./proxy.ts";
import type { BackendInfo, ProxyOptions } from "./types.ts";

const streams = { stdin: true, stdout: true, stderr: true, tty: false };

async function backend(run: (session: ServerSession) => Promise<unknown>, seen: UpgradeRequest[] = []) {
  return listenUpgrades(async (upgrade) => {
    seen.push(upgrade);
    await using session = await acceptRemoteCommand(upgrade, streams);
    await run(session);
  });
}

function hop(url: URL, options: Partial<ProxyOptions> = {}) {
  return listenUpgrades((upgrade) =>
    proxyUpgrade(upgrade, {
      target: { url },
      kind: "remotecommand",
      streams,
      nextHop: "spdy",
      log: silentLogger,
      ...options,
    }),
  );
}

const cat = async (session: ServerSession) => {
  assert.ok(session.stdin && session.stdout && session.stderr);
  const hash = createHash("sha256");
  for await (const chunk of session.stdin) {
    hash.update(chunk);
    await session.stdout.write(chunk);
  }
  await session.stderr.write(Buffer.from(hash.digest("hex")));
  await session.finish(exitStatus(5));
};

const ways: {
  client: "spdy" | "websocket";
  nextHop: "spdy" | "websocket";
  way: BackendInfo["way"];
  upgrade: string;
}[] = [
  { client: "spdy", nextHop: "spdy", way: "splice", upgrade: "SPDY/3.1" },
  { client: "spdy", nextHop: "websocket", way: "splice", upgrade: "SPDY/3.1" },
  { client: "websocket", nextHop: "websocket", way: "splice", upgrade: "websocket" },
  { client: "websocket", nextHop: "spdy", way: "translate", upgrade: "SPDY/3.1" },
];
for (const { client, nextHop, way, upgrade } of ways) {
  it(`a ${client} client, a next hop that knows ${nextHop}: ${way}`, async () => {
    const seen: UpgradeRequest[] = [];
    const infos: BackendInfo[] = [];
    await using last = await backend(cat, seen);
    await using middle = await hop(last.url, { nextHop, onBackend: (info) => infos.push(info) });
    await using first = await hop(middle.url, { nextHop: "websocket" });
    const sent = randomBytes(2_000_003);
    await using session = await openRemoteCommand({ url: first.url }, { ...streams, transports: [client] });
    assert.ok(session.stdin && session.stdout && session.stderr);
    const feed = (async function* () {
      for (let at = 0; at < sent.byteLength; at += 70_000) yield sent.subarray(at, at + 70_000);
    })();
    const [out, err, status] = await Promise.all([
      collect(session.stdout),
      collect(session.stderr),
      session.status,
      copy(feed, session.stdin),
    ]);
    assert.ok(out.equals(sent));
    assert.equal(err.toString(), createHash("sha256").update(sent).digest("hex"));
    const code = way === "translate" ? "command terminated with exit code 5" : "exit status 5";
    assert.deepEqual(status, { ...exitStatus(5), message: `command terminated with non-zero exit code: ${code}` });
    assert.equal(seen[0]?.request.headers.upgrade, upgrade);
    assert.equal(infos[0]?.way, way);
    assert.equal(infos[0]?.statusCode, 101);
  });
}

for (const { transport, protocol } of [
  ...[Protocol.v1, Protocol.v2, Protocol.v3, Protocol.v4].map((protocol) => ({ transport: "spdy", protocol }) as const),
  ...[Protocol.v1, Protocol.v1Base64, Protocol.v4, Protocol.v4Base64, Protocol.v5].map(
    (protocol) => ({ transport: "websocket", protocol }) as const,
  ),
]) {
  for (const nextHop of ["spdy", "websocket"] as const) {
    it(`${protocol} over ${transport} passes two hops, the last of which knows ${nextHop}`, async () => {
      await using last = await backend(async (session) => {
        const input = session.stdin?.[Symbol.asyncIterator]();
        const { value } = (await input?.next()) ?? {};
        await session.stdout?.write(value ?? Buffer.alloc(0));
        await session.stderr?.write(Buffer.from(session.protocol));
        await session.finish(exitStatus(0));
      });
      await using middle = await hop(last.url, { nextHop });
      await using first = await hop(middle.url, { nextHop: "websocket" });
      const options = { ...streams, transports: [transport], protocols: [protocol] } as const;
      await using session = await openRemoteCommand({ url: first.url }, options);
      assert.ok(session.stdout && session.stderr);
      await session.stdin?.write(Buffer.from("through"));
      const [out, err] = await Promise.all([collect(session.stdout), collect(session.stderr), session.status]);
      assert.equal(out.toString(), "through");
      const translated = transport === "websocket" && protocol === Protocol.v5 && nextHop === "spdy";
      assert.equal(err.toString(), translated ? Protocol.v4 : protocol);
    });
  }
}

describe("when one end goes", () => {
  for (const { client, nextHop, way } of ways) {
    it(`${way} of ${client} to ${nextHop}: a killed client ends the session at the last hop`, async () => {
      const gone = Promise.withResolvers<void>();
      await using last = await backend(async (session) => {
        await session.stdout?.write(Buffer.from("hello"));
        session.signal.addEventListener("abort", () => gone.resolve());
        await gone.promise;
      });
      await using middle = await hop(last.url, { nextHop });
      const clientSockets = new Set<Socket>();
      const relay = createServer((socket) => {
        const out = connect(middle.port, "127.0.0.1");
        clientSockets.add(out);
        socket.pipe(out).pipe(socket);
        for (const one of [socket, out]) one.on("error", () => {});
        out.on("close", () => socket.destroy());
      });
      await using url = await listening(relay);
      await using session = await openRemoteCommand({ url: url.url }, { ...streams, transports: [client] });
      assert.ok(session.stdout);
      const { value } = await session.stdout[Symbol.asyncIterator]().next();
      assert.equal(Buffer.from(value).toString(), "hello");
      session.status.catch(() => {});
      for (const socket of clientSockets) socket.destroy(); // as the kernel does for a killed process
      await gone.promise;
    });
  }
});

async function listening(server: Server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    url: new URL(`http://127.0.0.1:${port}/`),
    port,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

/** Sends a text on a fresh connection and reads until the other side closes. */
async function talk(port: number, text: string, then?: (socket: Socket) => void): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(text);
  then?.(socket);
  return (await collect(socket)).toString("latin1");
}

const ask =
  "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

describe("splice", () => {
  it("carries the bytes behind both heads, and each half-close", async () => {
    const raw = createServer({ allowHalfOpen: true }, async (socket) => {
      let got = "";
      socket.on("data", (chunk) => {
        if (got === "") {
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nX-Odd-Case: Yes\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
          );
          socket.write(data("early"));
        }
        got += chunk.toString("latin1");
      });
      socket.on("end", () => socket.end(data(` got ${got.slice(got.indexOf("\r\n\r\n") + 4)}`)));
    });
    await using end = await listening(raw);
    await using middle = await hop(end.url);
    const answer = await talk(middle.port, `${ask}${data("and more")}`, (socket) => socket.end(data(" at last")));
    assert.equal(
      answer,
      "HTTP/1.1 101 Switching Protocols\r\nX-Odd-Case: Yes\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n" +
        `${data("early")}${data(` got ${data("and more")}${data(" at last")}`)}`,
    );
  });

  it("is transparent to any bytes in frames", async () => {
    const raw = createServer((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
        socket.pipe(socket);
      });
    });
    await using end = await listening(raw);
    await using middle = await hop(end.url);
    const socket = connect(middle.port, "127.0.0.1");
    socket.write(ask);
    await once(socket, "readable");
    socket.read();
    const content = randomBytes(8_000_000);
    const sent = Buffer.concat([encodeDataHeader(1, content.byteLength, false), content, encodePing(1)]);
    const [, got] = await Promise.all([
      copy([sent.subarray(0, 1), sent.subarray(1)] as never, {
        write: async (chunk) => void socket.write(chunk),
        close: async () => void socket.end(),
        abort: async () => {},
      }),
      collect(socket),
    ]);
    const [parts, others]: [Uint8Array[], unknown[]] = [[], []];
    for (const frame of new FrameDecoder().push(got)) {
      if (frame.type === "data") parts.push(frame.bytes);
      else others.push(frame);
    }
    assert.ok(Buffer.concat(parts).equals(content));
    assert.deepEqual(others, [{ type: "ping", id: 1 }]);
  });
});

/** A frame of data, as text of a character for each byte. */
function data(text: string): string {
  return `${encodeDataHeader(1, text.length, false).toString("latin1")}${text}`;
}

describe("a backend that does not upgrade", () => {
  it("is handed on as it is from 400 up, and nothing more is read from the client (CVE-2018-1002105)", async () => {
    let requests = 0;
    await using last = await listenUpgrades(
      (upgrade) => {
        requests++;
        refuseUpgrade(upgrade, plainRefusal(404, "pod does not exist", { "X-Custom": "kept" }));
      },
      () => {
        requests++;
      },
    );
    await using middle = await hop(last.url);
    const answer = await talk(middle.port, `${ask}GET /second HTTP/1.1\r\nHost: h\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 404 Not Found\r\n/);
    assert.match(answer, /\r\nX-Custom: kept\r\n/);
    assert.ok(answer.endsWith("\r\n\r\npod does not exist\n"));
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
    assert.equal(requests, 1);
  });

  it("is an error below 400: a redirect never reaches the client (CVE-2020-8559)", async () => {
    await using last = await listenUpgrades((upgrade) => {
      refuseUpgrade(upgrade, {
        statusCode: 302,
        contentType: "text/plain",
        body: "",
        headers: { Location: "http://evil/" },
      });
    });
    await using middle = await hop(last.url);
    const answer = await talk(middle.port, ask);
    assert.match(answer, /^HTTP\/1\.1 500 /);
    assert.match(answer, /invalid upgrade response: status code 302/);
    assert.doesNotMatch(answer, /evil/);
  });

  it("is named when it cannot be reached", async () => {
    await using middle = await hop(new URL("http://127.0.0.1:1/"));
    const answer = await talk(middle.port, ask);
    assert.match(answer, /^HTTP\/1\.1 500 /);
    assert.match(answer, /"message":"error dialing backend: dial tcp 127\.0\.0\.1:1: connect: connection refused"/);
  });

  it("comes as a Status to a translated client", async () => {
    await using last = await listenUpgrades((upgrade) =>
      refuseUpgrade(upgrade, plainRefusal(500, 'container not found ("c")')),
    );
    await using middle = await hop(last.url);
    await using session = await openRemoteCommand({ url: middle.url }, { ...streams, transports: ["websocket"] });
    const status = await session.status;
    assert.equal(status.message, 'Internal error occurred: unable to upgrade connection: container not found ("c")');
    assert.equal(status.reason, "InternalError");
    assert.equal(status.code, 500);
  });
});

it("ends a translated session that nobody uses, after its own idle timeout", { timeout: 10_000 }, async () => {
  await using last = await backend((session) => once(session.signal, "abort"));
  await using middle = await hop(last.url, { idleTimeoutMs: 100 });
  await using session = await openRemoteCommand({ url: middle.url }, { ...streams, transports: ["websocket"] });
  const { reason, code } = await session.status;
  assert.deepEqual({ reason, code }, { reason: "Timeout", code: 504 });
});

it("keeps who the caller is to itself", async () => {
  const seen: UpgradeRequest[] = [];
  await using last = await backend((session) => session.finish(exitStatus(0)), seen);
  await using middle = await hop(last.url, {
    nextHop: "websocket",
    target: { url: last.url, headers: { "X-Own": "yes" } },
  });
  const headers = {
    Authorization: "Bearer secret",
    Cookie: "session=secret",
    "X-Remote-User": "root",
    "Impersonate-User": "root",
    "X-Forwarded-For": "10.0.0.1",
    "Sec-WebSocket-Extensions": "permessage-deflate",
    traceparent: "00-1-2-01",
  };
  await using session = await openRemoteCommand(
    { url: middle.url, headers },
    {
      ...streams,
      transports: ["websocket"],
      protocols: ["base64url.bearer.authorization.k8s.io.c2VjcmV0", "v5.channel.k8s.io"],
    },
  );
  await session.status;
  const got = seen[0]?.request.headers;
  assert.equal(JSON.stringify(got).includes("secret"), false);
  assert.equal(got?.["x-remote-user"], undefined);
  assert.equal(got?.["impersonate-user"], undefined);
  assert.equal(got?.["sec-websocket-extensions"], undefined);
  assert.equal(got?.["sec-websocket-protocol"], "v5.channel.k8s.io");
  assert.equal(got?.["x-forwarded-for"], "10.0.0.1, 127.0.0.1");
  assert.equal(got?.traceparent, "00-1-2-01");
  assert.equal(got?.["x-own"], "yes");
});
