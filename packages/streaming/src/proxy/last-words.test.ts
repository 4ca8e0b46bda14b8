// Up to 1.29 kubectl over SPDY takes a connection that ends for a command that succeeded: the hop before the one that went says otherwise.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { brokenOffStatus } from "../remotecommand/broken-off.ts";
import { openRemoteCommand } from "../remotecommand/client.ts";
import { Protocol } from "../remotecommand/protocols.ts";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import { encodeDataHeader, encodeGoAway, encodeSynStream } from "../spdy/frame.ts";
import { HeaderEncoder } from "../spdy/headers.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { LastWords } from "./last-words.ts";
import { proxyUpgrade } from "./proxy.ts";

const streams = { stdin: true, stdout: true, stderr: true, tty: false };

/** A client's stdout is stream 5: error, stdin, stdout. */
const stdout = 5;

/** A session through two hops whose server writes `bytes` past its protocol, and is gone; whose client hears that by a Status. */
async function broken(bytes: Uint8Array, how: string) {
  await using server = await listenUpgrades(async (upgrade) => {
    await using session = await acceptRemoteCommand(upgrade, streams);
    await session.stdout?.write(Buffer.from("out"));
    if (bytes.byteLength > 0) await new Promise<void>((resolve) => upgrade.socket.write(bytes, () => resolve()));
    if (how === "end") upgrade.socket.end();
    else upgrade.socket.destroy();
    await session.finish(exitStatus(0)); // which nobody hears
  });
  await using stack = new AsyncDisposableStack();
  let { url } = server;
  for (let hops = 0; hops < 2; hops++) {
    const target = { url };
    const options = { target, kind: "remotecommand", streams, nextHop: "websocket", log: silentLogger } as const;
    ({ url } = stack.use(await listenUpgrades((upgrade) => proxyUpgrade(upgrade, options))));
  }
  await using session = await openRemoteCommand(
    { url },
    { ...streams, transports: ["spdy"], protocols: [Protocol.v4] },
  );
  const output = collect(session.stdout ?? ([] as never)).catch(() => {});
  await assert.rejects(session.status, {
    name: "StreamError",
    kind: "lost",
    message: /next hop closed the connection|connection lost/,
  });
  await output;
}

describe("a remote command over SPDY that is spliced, and whose server goes", () => {
  const whole = [encodeDataHeader(stdout, 3, false), Buffer.from("put")];
  const cases = {
    "between two frames": Buffer.alloc(0),
    "behind a whole frame": Buffer.concat(whole),
    "within a frame": Buffer.concat([encodeDataHeader(stdout, 70_000, false), Buffer.from("put")]),
    "within the head of a frame": encodeDataHeader(stdout, 0x010203, false).subarray(0, 7),
  };
  for (const [when, bytes] of Object.entries(cases)) {
    for (const how of ["end", "destroy"]) {
      it(`${when}, by ${how}: its client hears it as a Status`, { timeout: 10_000 }, async () => {
        await broken(bytes, how);
      });
    }
  }
});

describe("LastWords", () => {
  /** Of a session whose client has opened its error stream as the first. */
  function words(protocol: string) {
    const last = new LastWords(protocol);
    const [one, two] = [["streamtype", "error"] as const, ["streamtype", "stdout"] as const];
    const encoder = new HeaderEncoder();
    const opening = [encodeSynStream(1, encoder.encode([one])), encodeSynStream(3, encoder.encode([two]))];
    for (const byte of Buffer.concat(opening)) last.fromClient(Buffer.of(byte));
    return last;
  }

  it("are the protocol's: JSON from v4 on, a text before", () => {
    const status = brokenOffStatus("gone");
    for (const [protocol, text] of [
      [Protocol.v4, JSON.stringify(status)],
      [Protocol.v3, status.message],
      [Protocol.v1, status.message],
    ] as const) {
      const all = Buffer.concat(words(protocol).ending(status));
      assert.deepEqual(all, Buffer.concat([encodeDataHeader(1, text?.length ?? 0, true), Buffer.from(text ?? "")]));
    }
  });

  it("are said once, and not behind a Status, a goodbye, or before there is a stream for them", () => {
    const status = brokenOffStatus("gone");
    const once = words(Protocol.v4);
    assert.equal(once.ending(status).length, 2);
    assert.deepEqual(once.ending(status), []);
    for (const bytes of [encodeDataHeader(1, 0, true), encodeGoAway(0, 0)]) {
      const last = words(Protocol.v4);
      for (const byte of bytes) last.fromNextHop(Buffer.of(byte));
      assert.deepEqual(last.ending(status), []);
    }
    assert.deepEqual(new LastWords(Protocol.v4).ending(status), []);
  });

  it("end a Status that was cut by zeros, which is none then", () => {
    const last = words(Protocol.v4);
    last.fromNextHop(Buffer.concat([encodeDataHeader(1, 20, true), Buffer.from('{"status":')]));
    assert.deepEqual(Buffer.concat(last.ending(brokenOffStatus("gone"))), Buffer.alloc(10));
  });

  it("are none behind a frame that claims more than anybody sends: its filling would be held here", () => {
    for (const [claimed, parts] of [
      [1024 * 1024, 16 + 2],
      [1024 * 1024 + 1, 0],
    ] as const) {
      const last = words(Protocol.v4);
      last.fromNextHop(encodeDataHeader(stdout, claimed, false));
      assert.equal(last.ending(brokenOffStatus("gone")).length, parts);
    }
  });

  it("are none for a client that speaks something else", () => {
    const last = new LastWords(Protocol.v4);
    last.fromClient(Buffer.from("GET / HTTP/1.1\r\n\r\n, and more of it than a frame's header"));
    last.fromClient(encodeSynStream(1, new HeaderEncoder().encode([["streamtype", "error"]])));
    assert.deepEqual(last.ending(brokenOffStatus("gone")), []);
  });
});
