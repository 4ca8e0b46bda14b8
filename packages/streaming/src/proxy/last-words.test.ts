// Up to 1.29 kubectl over SPDY takes a connection that ends for a command that succeeded: the hop before the one that went says otherwise.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { openRemoteCommand } from "../remotecommand/client.ts";
import { Protocol } from "../remotecommand/protocols.ts";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import { encodeDataHeader } from "../spdy/frame.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
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
    message: /^(the next hop closed the connection|connection with the next hop (lost: .+|closed))$/,
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
