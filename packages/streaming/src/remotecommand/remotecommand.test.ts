import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { copy } from "../bytes.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { openRemoteCommand } from "./client.ts";
import { Protocol } from "./protocols.ts";
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

/** `cat`, with what it read told on stderr. */
const cat: Run = async (session) => {
  assert.ok(session.stdin && session.stdout && session.stderr);
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of session.stdin) {
    hash.update(chunk);
    length += chunk.byteLength;
    await session.stdout.write(chunk);
  }
  await session.stderr.write(Buffer.from(`${length} ${hash.digest("hex")}`));
  await session.finish(exitStatus(length % 256));
};

const wires: { name: string; options: Partial<OpenOptions> }[] = [
  { name: "v5 over WebSocket", options: { transports: ["websocket"] } },
  { name: "v4 over SPDY", options: { transports: ["spdy"] } },
  { name: "v3 over SPDY", options: { transports: ["spdy"], protocols: [Protocol.v3] } },
  { name: "v2 over SPDY", options: { transports: ["spdy"], protocols: [Protocol.v2] } },
  { name: "v1 over SPDY", options: { transports: ["spdy"], protocols: [Protocol.v1] } },
];

for (const { name, options } of wires) {
  describe(name, () => {
    const withCode = options.protocols === undefined;

    it("carries stdin, stdout, stderr and the end of the command", async () => {
      await using server = await serve(cat);
      await using session = await openRemoteCommand({ url: server.url }, { ...all, ...options });
      assert.ok(session.stdin && session.stdout && session.stderr);
      const sent = randomBytes(3_000_001);
      const [out, err, status] = await Promise.all([
        collect(session.stdout),
        collect(session.stderr),
        session.status,
        copy(
          (async function* () {
            for (let at = 0; at < sent.byteLength; at += 99_999) yield sent.subarray(at, at + 99_999);
          })(),
          session.stdin,
        ),
      ]);
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

it("falls back to SPDY when the WebSocket is refused, and only then", async () => {
  const seen: string[] = [];
  await using server = await listenUpgrades(async (upgrade) => {
    seen.push(`${upgrade.request.method} ${upgrade.request.headers.upgrade}`);
    if (upgrade.request.method === "GET") {
      upgrade.socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    await using session = await acceptRemoteCommand(upgrade, all);
    await session.finish(exitStatus(0));
  });
  await using session = await openRemoteCommand({ url: server.url }, all);
  await session.status;
  assert.deepEqual(seen, ["GET websocket", "POST SPDY/3.1"]);
  await assert.rejects(openRemoteCommand({ url: new URL("http://127.0.0.1:1/") }, all), { code: "ECONNREFUSED" });
});
