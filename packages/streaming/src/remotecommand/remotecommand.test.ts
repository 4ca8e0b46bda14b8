import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { copy } from "../bytes.ts";
import type { UpgradeError } from "../errors.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { openRemoteCommand } from "./client.ts";
import { featuresOf, Protocol } from "./protocols.ts";
import { acceptRemoteCommand } from "./server.ts";
import type { AcceptOptions, OpenOptions, ServerSession } from "./types.ts";

const all = { stdin: true, stdout: true, stderr: true, tty: false };
type Run = (session: ServerSession) => Promise<unknown>;

async function serve(run: Run, options: Partial<AcceptOptions> = {}) {
  return listenUpgrades(async (upgrade) => {
    await using session = await acceptRemoteCommand(upgrade, { ...all, ...options });
    await run(session);
  });
}

/** `cat`, with what it read told on stderr; `until` so many bytes, where the wire cannot tell the end of stdin. */
const cat = async (session: ServerSession, until?: number) => {
  assert.ok(session.stdin && session.stdout && session.stderr);
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of session.stdin) {
    hash.update(chunk);
    length += chunk.byteLength;
    await session.stdout.write(chunk);
    if (length === until) break;
  }
  await session.stderr.write(Buffer.from(`${length} ${hash.digest("hex")}`));
  await session.finish(exitStatus(length % 256));
};

const webSocket = (protocol: string) => ({
  name: `${protocol} over WebSocket`,
  options: { transports: ["websocket"], protocols: [protocol] } as const,
});
const wires: { name: string; options: Partial<OpenOptions> }[] = [
  { name: "v5 over WebSocket", options: { transports: ["websocket"] } },
  webSocket(Protocol.v4),
  webSocket(Protocol.v4Base64),
  webSocket(Protocol.v1),
  webSocket(Protocol.v1Base64),
  { name: "v4 over SPDY", options: { transports: ["spdy"] } },
  { name: "v3 over SPDY", options: { transports: ["spdy"], protocols: [Protocol.v3] } },
  { name: "v2 over SPDY", options: { transports: ["spdy"], protocols: [Protocol.v2] } },
  { name: "v1 over SPDY", options: { transports: ["spdy"], protocols: [Protocol.v1] } },
];

for (const { name, options } of wires) {
  describe(name, () => {
    const [protocol = Protocol.v5] = options.protocols ?? [];
    const withCode = featuresOf(protocol).jsonStatus;
    /** Can the wire tell the end of stdin? */
    const halfCloses = options.transports?.[0] === "spdy" || protocol === Protocol.v5;

    it("carries stdin, stdout, stderr and the end of the command", async () => {
      await using server = await serve((session) => cat(session, halfCloses ? undefined : 3_000_001));
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      if (options.protocols) assert.equal(session.protocol, protocol);
      const { stdin } = session;
      assert.ok(stdin && session.stdout && session.stderr);
      const sent = randomBytes(3_000_001);
      const sink = halfCloses ? stdin : { ...stdin, close: async () => {} };
      const [out, err, status] = await Promise.all([
        collect(session.stdout),
        collect(session.stderr),
        session.status,
        copy(
          (async function* () {
            for (let at = 0; at < sent.byteLength; at += 99_999) yield sent.subarray(at, at + 99_999);
          })(),
          sink,
        ),
      ]);
      if (!halfCloses) {
        await assert.rejects(stdin.close(), { name: "StreamError", message: /cannot tell the end of stdin/ });
      }
      assert.ok(out.equals(sent));
      assert.equal(err.toString(), `3000001 ${createHash("sha256").update(sent).digest("hex")}`);
      assert.equal(status.status, "Failure");
      if (withCode) assert.deepEqual(status, exitStatus(3000001 % 256));
      else
        assert.match(
          status.message ?? "",
          /^error executing remote command: command terminated with non-zero exit code/,
        );
    });

    it("says success", async () => {
      await using server = await serve((session) => session.finish(exitStatus(0)));
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      assert.deepEqual(await session.status, exitStatus(0));
    });

    it("tells the server when the client goes away, and closes every connection", async () => {
      const reason = Promise.withResolvers<unknown>();
      await using server = await serve(async (session) => {
        assert.ok(session.stdin);
        await assert.rejects(collect(session.stdin), { name: "StreamError" });
        reason.resolve(session.signal.reason);
      });
      const session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      await session.stdin?.write(Buffer.from("x"));
      await session[Symbol.asyncDispose]();
      assert.equal(((await reason.promise) as Error).name, "StreamError");
      await assert.rejects(session.status, { name: "StreamError" });
    });

    it("does not call a dropped session a success", async () => {
      await using server = await serve(async (session) => {
        await session.stdout?.write(Buffer.from("half of it"));
      });
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      assert.ok(session.stdout);
      await assert.rejects(collect(session.stdout), { name: "StreamError" });
      await assert.rejects(session.status, { name: "StreamError" });
    });

    it("slows the server when nobody reads, and loses nothing", async () => {
      let written = 0;
      const total = 64 * 1024 * 1024;
      await using server = await serve(async (session) => {
        const chunk = Buffer.alloc(64 * 1024, "y");
        while (written < total) {
          await session.stdout?.write(chunk);
          written += chunk.byteLength;
        }
        await session.finish(exitStatus(0));
      });
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      assert.ok(session.stdout);
      const reader = session.stdout[Symbol.asyncIterator]();
      const first = await reader.next();
      let before = -1;
      while (before !== written) {
        before = written;
        await new Promise((resolve) => setTimeout(resolve, 100)); // no event tells that nothing happens
      }
      assert.ok(written < total / 2, `${written} bytes were taken although nobody read`);
      let read = first.value?.byteLength ?? 0;
      for (let next = await reader.next(); !next.done; next = await reader.next()) read += next.value.byteLength;
      assert.equal(read, total);
      await session.status;
    });

    it("goes on when the command leaves its stdin unread", async () => {
      await using server = await serve(async (session) => {
        await session.stdout?.write(Buffer.from("done"));
        await session.finish(exitStatus(7));
      });
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      assert.ok(session.stdin && session.stdout);
      const { stdin } = session;
      const feed = (async () => {
        for (;;) await stdin.write(Buffer.alloc(32 * 1024));
      })();
      feed.catch(() => {});
      assert.equal((await collect(session.stdout)).toString(), "done");
      if (withCode) assert.deepEqual(await session.status, exitStatus(7));
      await assert.rejects(feed);
    });
  });
}

for (const transport of ["websocket", "spdy"] as const) {
  describe(`terminal over ${transport}`, () => {
    it("carries sizes in order", async () => {
      await using server = await serve(
        async (session) => {
          const sizes: unknown[] = [];
          for await (const size of session.resize) {
            sizes.push(size);
            if (sizes.length === 3) break;
          }
          await session.stdout?.write(Buffer.from(JSON.stringify(sizes)));
          await session.finish(exitStatus(0));
        },
        { stderr: false, tty: true },
      );
      await using session = await openRemoteCommand(
        { url: server.url },
        { ...all, stderr: false, tty: true, transports: [transport] },
      );
      for (const width of [80, 81, 82]) await session.resize({ width, height: 24 });
      assert.ok(session.stdout);
      const want = [80, 81, 82].map((width) => ({ width, height: 24 }));
      assert.deepEqual(JSON.parse((await collect(session.stdout)).toString()), want);
      await session.status;
    });

    it("ends an idle session with a word", async () => {
      await using server = await serve(
        (session) => new Promise((resolve) => session.signal.addEventListener("abort", resolve)),
        {
          idleTimeoutMs: 30,
          pingIntervalMs: 0,
        },
      );
      await using session = await openRemoteCommand(
        { url: server.url },
        { ...all, transports: [transport], pingIntervalMs: 0 },
      );
      assert.match((await session.status).message ?? "", /nothing was sent or received/);
    });

    it("gives the status to a reader that comes late", async () => {
      await using server = await serve(async (session) => {
        await session.stdout?.write(Buffer.alloc(200_000, "z"));
        await session.finish(exitStatus(3));
      });
      await using session = await openRemoteCommand({ url: server.url }, { ...all, transports: [transport] });
      assert.deepEqual(await session.status, exitStatus(3));
      assert.ok(session.stdout);
      assert.equal((await collect(session.stdout)).byteLength, 200_000);
    });
  });
}

describe("what is agreed on", () => {
  for (const { name, offer, transport, want } of [
    {
      name: "the first of the client's order",
      offer: ["v9.channel.k8s.io", Protocol.v3, Protocol.v4],
      want: Protocol.v3,
    },
    { name: "v4 where v5 is offered: v5 is WebSocket's", offer: undefined, want: Protocol.v4 },
    {
      name: "the first of the client's order",
      transport: "websocket",
      offer: [Protocol.v2, Protocol.v4Base64, Protocol.v5],
      want: Protocol.v4Base64,
    },
  ] as const) {
    it(`${name}, over ${transport ?? "spdy"}`, async () => {
      await using server = await serve((session) => session.finish(exitStatus(0)));
      const options = { transports: [transport ?? "spdy"], ...(offer && { protocols: offer }) } as const;
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      assert.equal(session.protocol, want);
      await session.status;
    });
  }

  it("nothing: 403, with what there is, over SPDY; a bare 403 over WebSocket", async () => {
    await using server = await serve((session) => session.finish(exitStatus(0)));
    const offer = { protocols: ["v9.channel.k8s.io", Protocol.v2.replace("v2", "v8")] };
    const spdy = openRemoteCommand({ url: server.url }, { ...all, ...offer, transports: ["spdy"] });
    const negotiation =
      "client supports [v9.channel.k8s.io v8.channel.k8s.io], server accepts [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]";
    await assert.rejects(spdy, (error: UpgradeError) => {
      assert.equal(error.statusCode, 403);
      assert.equal(error.body, `unable to upgrade: unable to negotiate protocol: ${negotiation}\n`);
      assert.equal(
        error.headers["x-accepted-stream-protocol-versions"],
        "v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io",
      );
      return true;
    });
    const webSocket = openRemoteCommand({ url: server.url }, { ...all, ...offer, transports: ["websocket"] });
    await assert.rejects(webSocket, { name: "UpgradeError", statusCode: 403, body: "" });
  });
});

/** What stands between a client and its server, and lets SPDY alone through; each ends the connection it refused on. */
const proxies: { name: string; answer: string }[] = [
  { name: "a server's 403", answer: "403 Forbidden\r\nContent-Length: 0" },
  {
    name: "a proxy's 502, with a page of its own",
    answer: "502 Bad Gateway\r\nContent-Length: 13\r\n\r\n<h1>Bad</h1>\n",
  },
  { name: "a proxy that takes the upgrade for a plain request: 400", answer: "400 Bad Request\r\nContent-Length: 0" },
  { name: "a page of somebody else, 200", answer: "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" },
  {
    name: "a redirect, which is not followed",
    answer: "302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0",
  },
  {
    name: "a 101 whose key does not fit",
    answer: "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: bm8=",
  },
];
for (const { name, answer } of proxies) {
  it(`falls back to SPDY after ${name}`, async () => {
    const seen: string[] = [];
    await using server = await listenUpgrades(async (upgrade) => {
      seen.push(`${upgrade.request.method} ${upgrade.request.headers.upgrade}`);
      if (upgrade.request.method === "GET") {
        upgrade.socket.end(`HTTP/1.1 ${answer}\r\n\r\n`);
        return;
      }
      await using session = await acceptRemoteCommand(upgrade, all);
      await session.finish(exitStatus(0));
    });
    await using session = await openRemoteCommand({ url: server.url }, all);
    await session.status;
    assert.equal(session.transport, "spdy");
    assert.deepEqual(seen, ["GET websocket", "POST SPDY/3.1"]);
  });
}

it("tells the last refusal, behind a proxy that lets no upgrade through", async () => {
  await using server = await listenUpgrades(({ request, socket }) => {
    const body = `no ${request.headers.upgrade} here`;
    socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  await assert.rejects(openRemoteCommand({ url: server.url }, all), {
    name: "UpgradeError",
    statusCode: 403,
    message: "unable to upgrade connection: no SPDY/3.1 here",
  });
});

it("does not fall back from a server that cannot be reached", async () => {
  await assert.rejects(openRemoteCommand({ url: new URL("http://127.0.0.1:1/") }, all), { code: "ECONNREFUSED" });
});
