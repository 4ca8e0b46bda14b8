// Servers that fall silent while their connection stays: a frozen program, a relay that has lost its other side.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { silentLogger } from "@hawser/trace";
import { openPortForward } from "./portforward/client.ts";
import { acceptPortForward } from "./portforward/server.ts";
import { proxyUpgrade } from "./proxy/proxy.ts";
import type { ProxyOptions } from "./proxy/types.ts";
import { openRemoteCommand } from "./remotecommand/client.ts";
import { acceptRemoteCommand } from "./remotecommand/server.ts";
import type { OpenOptions } from "./remotecommand/types.ts";
import { livenessOf, Silence } from "./silence.ts";
import { listenUpgrades, startRelay } from "./testing/index.ts";

const streams = { stdin: true, stdout: true, stderr: false, tty: false };
/** Milliseconds. Pings go out every 50 then, and 200 of silence are too many. */
const peerTimeoutMs = 100;
const words = /the peer has sent nothing, and answered no ping, for 0\.\d+ s/;

/** Sessions that say "up", and then nothing. */
const quiet = () =>
  listenUpgrades(async (upgrade) => {
    await using session = await acceptRemoteCommand(upgrade, streams);
    await session.stdout?.write(Buffer.from("up"));
    await once(session.signal, "abort");
  });

/** Port-forwards to a port that says "up", and then nothing. */
const quietPort = (ports?: number[]) =>
  listenUpgrades(async (upgrade) => {
    const connect = async (_port: number, signal: AbortSignal) => {
      async function* source() {
        yield Buffer.from("up");
        await once(signal, "abort");
      }
      return { source: source(), sink: { write: async () => {}, close: async () => {}, abort: async () => {} } };
    };
    await using session = await acceptPortForward(upgrade, { connect, ...(ports && { ports }) });
    await session.closed;
  });

/** A hop in front of `url`. */
const watchful = (url: URL, options: Pick<ProxyOptions, "kind"> & Partial<ProxyOptions>) =>
  listenUpgrades((upgrade) =>
    proxyUpgrade(upgrade, {
      ...{ target: { url }, streams, nextHop: "websocket", peerTimeoutMs, log: silentLogger },
      ...{ backendName: "the container runtime", ...options },
    }),
  );

async function first(source: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  for await (const chunk of source ?? []) return Buffer.from(chunk).toString();
  return "";
}

/** Waits until so many more bytes have come back: pongs, when nothing else is said. */
async function more(relay: { readonly returned: number }, bytes: number): Promise<void> {
  const until = relay.returned + bytes;
  while (relay.returned < until) await new Promise((resolve) => setImmediate(resolve));
}

const lost = { name: "StreamError", message: words };

describe("a server that falls silent behind a connection that stays", { concurrency: true }, () => {
  for (const transport of ["websocket", "spdy"] as const) {
    const options: OpenOptions = { ...streams, transports: [transport], peerTimeoutMs };

    it(`ends a remote command over ${transport}, and not while it merely has nothing to say`, async () => {
      await using server = await quiet();
      await using relay = await startRelay(server.port);
      await using session = await openRemoteCommand({ url: relay.url }, options);
      let over = false;
      session.status.catch(() => {
        over = true;
      });
      assert.equal(await first(session.stdout), "up");
      await more(relay, transport === "spdy" ? 12 * 10 : 2 * 10); // the answers to ten pings: more than twice the limit
      assert.equal(over, false);
      relay.freeze();
      await assert.rejects(session.status, (error: Error) => {
        assert.match(`${error.message} ${error.cause}`, words);
        return error.name === "StreamError";
      });
    });

    it(`ends a port-forward over ${transport}`, async () => {
      await using server = await quietPort();
      await using relay = await startRelay(server.port);
      await using session = await openPortForward({ url: relay.url }, { transports: [transport], peerTimeoutMs });
      const { source } = await session.connect(80);
      assert.equal(await first(source), "up");
      relay.freeze();
      await assert.rejects(session.closed, (error: Error) => {
        assert.match(String(error.cause), words);
        return error.message === "lost connection to pod";
      });
      await assert.rejects(session.connect(80), lost);
    });
  }

  it("ends a connection of the legacy port-forward", async () => {
    await using server = await quietPort([80]);
    await using relay = await startRelay(server.port);
    await using session = await openPortForward({ url: relay.url }, { transports: ["legacy"], peerTimeoutMs });
    const { source } = await session.connect(80);
    const chunks = source[Symbol.asyncIterator]();
    assert.equal(Buffer.from((await chunks.next()).value).toString(), "up");
    relay.freeze();
    await assert.rejects(chunks.next(), lost);
  });

  for (const transport of ["websocket", "spdy"] as const) {
    it(`ends a remote command over ${transport} that a hop splices, and whose client never pings`, async () => {
      await using server = await quiet();
      await using relay = await startRelay(server.port);
      await using hop = await watchful(relay.url, { kind: "remotecommand" });
      await using further = await watchful(hop.url, { kind: "remotecommand", hopsBehind: 60 });
      const options: OpenOptions = { ...streams, transports: [transport], peerTimeoutMs: 0, pingIntervalMs: 0 };
      await using session = await openRemoteCommand({ url: further.url }, options);
      let over = false;
      session.status.catch(() => {
        over = true;
      });
      assert.equal(await first(session.stdout), "up");
      await more(relay, transport === "spdy" ? 12 * 6 : 29 * 6); // the answers to the hop's pings
      assert.equal(over, false);
      relay.freeze();
      await assert.rejects(session.status, {
        name: "StreamError",
        message: /the container runtime has sent nothing, and answered no ping, for 0\.\d+ s/,
      });
    });

    it(`ends a port-forward over ${transport} that a hop splices, and whose client never pings`, async () => {
      for (const nextHop of ["websocket", "spdy"] as const) {
        await using server = await quietPort();
        await using relay = await startRelay(server.port);
        await using hop = await watchful(relay.url, { kind: "portforward", nextHop });
        const options = { transports: [transport], peerTimeoutMs: 0, pingIntervalMs: 0 };
        await using session = await openPortForward({ url: hop.url }, options);
        let over = false;
        session.closed.catch(() => {
          over = true;
        });
        const { source } = await session.connect(80);
        assert.equal(await first(source), "up");
        await more(relay, transport === "spdy" || nextHop === "spdy" ? 12 * 4 : 29 * 4);
        assert.equal(over, false);
        relay.freeze();
        await assert.rejects(session.closed, { message: "lost connection to pod" });
      }
    });
  }

  it("ends what a hop translates to another: the one nearest to it tells the client", async () => {
    await using server = await quiet();
    await using relay = await startRelay(server.port);
    await using hop = await watchful(relay.url, { kind: "remotecommand", peerTimeoutMs: 2 * peerTimeoutMs });
    const further = { nextHop: "spdy", hopsBehind: 60, backendName: "the kubelet" } as const;
    await using translating = await watchful(hop.url, { kind: "remotecommand", ...further });
    const options: OpenOptions = { ...streams, transports: ["websocket"], peerTimeoutMs: 0, pingIntervalMs: 0 };
    await using session = await openRemoteCommand({ url: translating.url }, options);
    const chunks = session.stdout?.[Symbol.asyncIterator]();
    assert.equal(Buffer.from((await chunks?.next())?.value ?? "").toString(), "up");
    relay.freeze();
    await assert.rejects(session.status, { ...lost, message: /^the container runtime has sent nothing, and answered/ });
  });

  it("ends what a hop translates to it: the client is told", async () => {
    await using server = await quiet();
    await using relay = await startRelay(server.port);
    const target = { url: relay.url };
    await using hop = await listenUpgrades((upgrade) =>
      proxyUpgrade(upgrade, {
        ...{ target, kind: "remotecommand", streams, nextHop: "spdy", peerTimeoutMs, log: silentLogger },
        backendName: "the container runtime",
      }),
    );
    await using session = await openRemoteCommand({ url: hop.url }, { ...streams, transports: ["websocket"] });
    const chunks = session.stdout?.[Symbol.asyncIterator]();
    assert.equal(Buffer.from((await chunks?.next())?.value ?? "").toString(), "up");
    relay.freeze();
    assert.equal((await chunks?.next())?.done, true);
    await assert.rejects(session.status, { ...lost, message: /the container runtime has sent nothing/ });
  });
});

describe("Silence", () => {
  it("counts ticks, and begins anew with each byte", () => {
    const silence = new Silence({ lostMs: 60_000, sent: () => 0 });
    for (let turn = 0; turn < 12; turn++) assert.equal(silence.passed(5000), undefined);
    silence.broken();
    for (let turn = 0; turn < 12; turn++) assert.equal(silence.passed(5000), undefined);
    assert.match(silence.passed(5000)?.() ?? "", /for 60 s/);
  });

  it("gives a server that may wait for its process to read 15 times as long", () => {
    let sent = 64 * 1024;
    const silence = new Silence({ lostMs: 1000, sent: () => sent });
    assert.match(silence.passed(1500)?.() ?? "", /for 1 s/);
    sent += 1;
    assert.equal(silence.passed(13_000), undefined);
    assert.match(silence.passed(1000)?.() ?? "", /for 15 s/);
  });

  it("has no limit where it is 0", () => {
    assert.equal(new Silence({ lostMs: 0, sent: () => 0 }).passed(1e9), undefined);
  });

  it("follows from what callers set", () => {
    assert.deepEqual(livenessOf({}, 5000), { pingMs: 5000, lostMs: 60_000 });
    assert.deepEqual(livenessOf({ peerTimeoutMs: 2000 }, 5000), { pingMs: 1000, lostMs: 4000 });
    assert.deepEqual(livenessOf({ peerTimeoutMs: 0 }, 5000), { pingMs: 5000, lostMs: 0 });
    assert.deepEqual(livenessOf({ pingIntervalMs: 0 }, 5000), { pingMs: 0, lostMs: 0 });
  });

  it("refuses times below 0, and what is none, before anything is dialled", async () => {
    const nowhere = { url: new URL("http://127.0.0.1:1/") };
    for (const wrong of [{ peerTimeoutMs: -1 }, { pingIntervalMs: -1 }, { peerTimeoutMs: Number.NaN }]) {
      await assert.rejects(openRemoteCommand(nowhere, { ...streams, ...wrong }), RangeError);
      await assert.rejects(openPortForward(nowhere, wrong), { name: "RangeError", message: /is (-1|NaN): at least 0/ });
    }
  });
});
