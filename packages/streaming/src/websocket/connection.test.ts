import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listenUpgrades } from "../testing/index.ts";
import { acceptWebSocket } from "./accept.ts";
import { dialWebSocket } from "./dial.ts";

describe("a peer that says nothing more", () => {
  it("counts as lost after lostMs, however often it is pinged", { timeout: 10_000 }, async () => {
    await using server = await listenUpgrades(async (upgrade) => {
      const connection = await acceptWebSocket(upgrade, [""], { pingMs: 0 });
      upgrade.socket.pause(); // it takes no ping, and is there
      await connection.closed;
    });
    const begin = performance.now();
    const connection = await dialWebSocket({ url: server.url }, [""], { pingMs: 20, lostMs: 300 });
    const { promise: ended, resolve } = Promise.withResolvers<Error | undefined>();
    connection.start({ message: () => {}, end: resolve });
    assert.match((await ended)?.message ?? "", /has sent nothing, and answered no ping, for 0\.3\d* s/);
    assert.ok(performance.now() - begin >= 250, "and not before");
  });
});
