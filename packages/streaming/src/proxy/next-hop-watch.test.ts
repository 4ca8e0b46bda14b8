import assert from "node:assert/strict";
import { it } from "node:test";
import { NextHopWatch } from "./next-hop-watch.ts";

it("a next hop is pinged when two thirds of its time are over, and lost at the end of it; one that cannot be pinged has 15 times as long", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  for (const [canPing, pings, seconds] of [
    [true, 5, 65],
    [false, 0, 905],
  ] as const) {
    let pinged = 0;
    const lost: string[] = [];
    using watch = new NextHopWatch({
      ...{ lostMs: 60_000, idleMs: 0, onIdle: () => assert.fail("idle"), isRead: () => true, sent: () => 0 },
      ping() {
        if (canPing) pinged++;
        return canPing;
      },
      onLost: (why) => lost.push(why()),
    });
    t.mock.timers.tick(30_000);
    watch.heard();
    t.mock.timers.tick((seconds - 5) * 1000);
    assert.deepEqual(lost, []);
    t.mock.timers.tick(30_000);
    assert.deepEqual(lost, [`the peer has sent nothing, and answered no ping, for ${seconds - 5} s`]);
    assert.equal(pinged, pings);
  }
});
