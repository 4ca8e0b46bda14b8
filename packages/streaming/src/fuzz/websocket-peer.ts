import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import type { StreamError } from "../errors.ts";
import { connectedPair } from "../testing/streams.ts";
import { responseHead } from "../upgrade/accept.ts";
import { acceptWebSocket } from "../websocket/accept.ts";
import { decodeMessage } from "../websocket/channels.ts";
import { WebSocketConnection, webSocketOptions } from "../websocket/connection.ts";
import { encodeFrameHeader, encodeMaskedFrame, Opcode } from "../websocket/frame.ts";
import { pieces } from "./pieces.ts";

const options = { pingMs: 0, protocol: "v5.channel.k8s.io" };
const headers = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
  "sec-websocket-protocol": options.protocol,
};

/** A server whose client sends anything: it ends once, and each message is one of a channel, nothing, or the end of the connection. */
export async function webSocketServer(input: Buffer): Promise<void> {
  const [near, far] = connectedPair();
  const request = { method: "GET", headers } as unknown as IncomingMessage;
  const accepting = acceptWebSocket({ request, socket: near, head: Buffer.alloc(0) }, [options.protocol], options);
  far.resume();
  await feed(await accepting, far, frames(input, "client"));
  near.destroy();
}

/** A client whose server sends anything. */
export async function webSocketClient(input: Buffer): Promise<void> {
  const [near, far] = connectedPair();
  const ws = new WebSocket("ws://h/", [options.protocol], {
    ...webSocketOptions,
    createConnection: () => near as Socket,
  });
  const [request] = (await once(far, "data")) as [Buffer];
  const key = /sec-websocket-key: (\S+)/i.exec(request.toString("latin1"))?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const answer = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Accept": accept };
  const opened = new Promise<WebSocketConnection>((resolve) => {
    ws.on("open", () => resolve(new WebSocketConnection(ws, near, { role: "client", ...options })));
  });
  far.write(responseHead(101, { ...answer, "Sec-WebSocket-Protocol": options.protocol }));
  far.resume();
  await feed(await opened, far, frames(input, "server"));
  near.destroy();
}

async function feed(connection: WebSocketConnection, far: Duplex, chunks: Buffer[]): Promise<void> {
  let ends = 0;
  const ended = Promise.withResolvers<StreamError | undefined>();
  connection.start({
    message(data) {
      try {
        decodeMessage(data, { base64: false, closeSignal: true });
      } catch (cause) {
        if (!(cause instanceof Error) || cause.name !== "ProtocolError") throw cause;
        connection.fail(cause as Parameters<typeof connection.fail>[0]);
      }
    },
    end(error) {
      ends++;
      ended.resolve(error);
    },
  });
  for (const chunk of chunks) {
    if (far.writable) far.write(chunk);
    if (chunk.byteLength % 5 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  far.end();
  const error = await ended.promise;
  assert.ok(error === undefined || error.name === "StreamError");
  connection.destroy();
  await connection.closed;
  assert.equal(ends, 1);
  far.destroy();
}

/** As in spdy-peer.ts: bytes as they are, or a program that makes whole frames of them. */
function frames(input: Buffer, from: "client" | "server"): Buffer[] {
  const body = input.subarray(1);
  if ((input[0] ?? 0) % 2 === 0) return pieces(body);
  return pieces(body).map((piece) => {
    const [kind = 0] = piece;
    const payload = piece.subarray(1);
    const opcode = kind % 4 === 0 ? Opcode.text : Opcode.binary;
    const frame =
      from === "client"
        ? encodeMaskedFrame(opcode, payload)
        : Buffer.concat([encodeFrameHeader(opcode, payload.byteLength), payload]);
    // Now and then something else: a piece of a message, a control frame, a reserved bit.
    if (kind >= 200) frame[0] = [0x00, 0x02, 0x80, 0x88, 0x89, 0x8a, 0xc2, 0x83][kind % 8] ?? 0x82;
    return frame;
  });
}
