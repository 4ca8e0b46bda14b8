// A session that its client gives up while the server reads none of its input: it must not stay for that input's sake.
import assert from "node:assert/strict";
import { once } from "node:events";
import { it } from "node:test";
import type { ByteSink } from "../bytes.ts";
import { listenUpgrades } from "../testing/index.ts";
import { openRemoteCommand } from "./client.ts";
import { acceptRemoteCommand } from "./server.ts";

/** Milliseconds in which a write that finds room is done. */
const patience = 300;

/** Writes until nothing is taken any more: every buffer on the way is full then. */
async function fill(stdin: ByteSink): Promise<void> {
  const block = Buffer.alloc(1 << 20);
  for (let taken = true; taken; ) {
    const late = AbortSignal.timeout(patience);
    const writing = stdin.write(block).then(
      () => true,
      () => false,
    );
    taken = await Promise.race([writing, once(late, "abort").then(() => false)]);
  }
}

const streams = { stdin: true, stdout: false, stderr: false, tty: false };

for (const transport of ["spdy", "websocket"] as const) {
  it(`${transport}: the server hears of it, though input that it has not read stands in between`, {
    timeout: 20_000,
  }, async () => {
    const heard = Promise.withResolvers<void>();
    await using server = await listenUpgrades(async (upgrade) => {
      await using session = await acceptRemoteCommand(upgrade, { ...streams, pingIntervalMs: 250 });
      await once(session.signal, "abort");
      heard.resolve();
    });
    {
      await using session = await openRemoteCommand(
        { url: new URL(server.url) },
        { ...streams, transports: [transport] },
      );
      session.status.catch(() => {}); // given up
      const { stdin } = session;
      assert.ok(stdin);
      await fill(stdin);
    }
    await heard.promise;
  });
}
