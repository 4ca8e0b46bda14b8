// Hostile clients at a hop between: what it translates it judges itself, what it splices the next hop does.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { silentLogger } from "@hawser/trace";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import { attacks, launch, listenUpgrades } from "../testing/index.ts";
import { proxyUpgrade } from "./proxy.ts";

const streams = { stdin: true, stdout: true, stderr: false, tty: false };

for (const nextHop of ["spdy", "websocket"] as const) {
  describe(`a hop whose next knows ${nextHop}, under attack`, { concurrency: 4 }, () => {
    for (const attack of attacks) {
      it(`${attack.upgrade}: ${attack.name}: ${attack.ending}`, { timeout: 20_000 }, async () => {
        const ended = Promise.withResolvers<void>();
        await using last = await listenUpgrades(async (upgrade) => {
          upgrade.socket.once("close", () => ended.resolve());
          await using session = await acceptRemoteCommand(upgrade, { ...streams, streamCreationTimeoutMs: 700 });
          for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
        });
        const target = { url: last.url };
        await using hop = await listenUpgrades((upgrade) =>
          proxyUpgrade(upgrade, { target, kind: "remotecommand", streams, nextHop, log: silentLogger }),
        );
        const socket = connect({ port: hop.port, host: "127.0.0.1" });
        const { statusCode, said } = await launch(socket, attack, { path: "/" });
        assert.equal(statusCode, 101);
        if (attack.ending === "told")
          assert.ok(said === 1 || [1002, 1007, 1009].includes(said ?? 0), `it said ${said}`);
        await ended.promise; // nothing of it stays at the next hop
      });
    }
  });
}
