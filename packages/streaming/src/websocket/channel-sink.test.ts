import assert from "node:assert/strict";
import { it } from "node:test";
import { channelSink } from "./channel-sink.ts";
import type { WebSocketConnection } from "./connection.ts";

for (const base64 of [false, true]) {
  it(`a chunk is held until its last message is made${base64 ? ", in base64" : ""}`, async () => {
    const sent: number[] = [];
    const connection = {
      held: 0,
      room: () => undefined,
      send: ({ byteLength }: Uint8Array) => void sent.push(byteLength),
    } as Pick<WebSocketConnection, "held" | "room" | "send"> as WebSocketConnection;
    const sink = channelSink({ connection, base64 }, 1);
    const short = sink.write(Buffer.alloc(1000));
    assert.equal(sink.held, 0, "one message, which is made at once");
    await short;
    const long = sink.write(Buffer.alloc(100 * 1024));
    assert.equal(sink.held, Number.POSITIVE_INFINITY, "the second message is still to be made");
    await long;
    assert.equal(sink.held, 0);
    assert.ok(sent.length >= 3);
  });
}
