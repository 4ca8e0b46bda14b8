// What a hostile client may send behind its upgrade, and how it has to end: for tests of every hop that serves streams.
import type { Duplex } from "node:stream";
import { constants, deflateSync } from "node:zlib";
import { FrameDecoder } from "../spdy/decode.ts";
import { dictionary } from "../spdy/dictionary.ts";
import { encodeDataHeader, encodeGoAway, encodeSynReply, encodeSynStream } from "../spdy/frame.ts";
import { HeaderEncoder } from "../spdy/headers.ts";
import { encodeMaskedFrame, Opcode } from "../websocket/frame.ts";

export interface Attack {
  name: string;
  upgrade: "spdy" | "websocket";
  bytes: () => Buffer[];
  /**
   * `told`: the server says that the protocol was broken (GOAWAY 1; close code 1002, 1007 or 1009) and hangs up. `dropped`: it hangs up
   * in its time, when streams did not come. `borne`: nothing was broken, the connection may stay.
   */
  ending: "told" | "dropped" | "borne";
}

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const deflate = (block: Buffer) => deflateSync(block, { dictionary, level: 9, finishFlush: constants.Z_SYNC_FLUSH });
const openStream = (block: Buffer) => [encodeSynStream(1, deflate(block))];

/** A header block as it is before it is deflated. */
function headerBlock(headers: [string, string][], count = headers.length): Buffer {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const texts = headers.flat().flatMap((text) => [number(Buffer.byteLength(text)), Buffer.from(text)]);
  return Buffer.concat([number(count), ...texts]);
}

/** SYN_STREAMs with these ids, of a kind nobody asked for. */
function manyStreams(ids: Iterable<number>): Buffer[] {
  const encoder = new HeaderEncoder();
  return Array.from(ids, (id) => encodeSynStream(id, encoder.encode([["streamtype", "mine"]])));
}

const request = Buffer.from("GET /api/v1/secrets HTTP/1.1\r\nHost: h\r\n\r\n");

const spdy: Omit<Attack, "upgrade">[] = [
  { name: "a frame of SPDY/2", bytes: () => [hex("8002 0001 00 000000")], ending: "told" },
  {
    name: "a control frame of 16 MiB",
    bytes: () => [hex("8003 0001 00 ffffff"), Buffer.alloc(1 << 20)],
    ending: "told",
  },
  { name: "a bomb of headers", bytes: () => openStream(Buffer.alloc(16 << 20)), ending: "told" },
  { name: "4 thousand million headers", bytes: () => openStream(headerBlock([], 0xffff_ffff)), ending: "told" },
  {
    name: "a thousand headers",
    bytes: () => openStream(headerBlock(Array.from({ length: 1000 }, (_, index) => [`h${index}`, ""]))),
    ending: "told",
  },
  {
    name: "a header name in capitals",
    bytes: () => openStream(headerBlock([["Streamtype", "error"]])),
    ending: "told",
  },
  { name: "a header that is longer than its block", bytes: () => openStream(hex("00000001 7fffffff")), ending: "told" },
  { name: "headers that are no zlib", bytes: () => [encodeSynStream(1, hex("deadbeef"))], ending: "told" },
  { name: "data on stream 0", bytes: () => [hex("00000000 00 000001 61")], ending: "told" },
  { name: "a ping with the id 0", bytes: () => [hex("8003 0006 00 000004 00000000")], ending: "told" },
  { name: "a reset that says nothing", bytes: () => [hex("8003 0003 00 000008 00000001 00000000")], ending: "told" },
  { name: "a goodbye that is too long", bytes: () => [hex("8003 0007 00 000009 000000000000000000")], ending: "told" },
  { name: "a stream that is cut short", bytes: () => [hex("8003 0001 00 000004 00000001")], ending: "told" },
  {
    name: "replies, data and ends of streams that are not there",
    bytes: () => {
      const encoder = new HeaderEncoder();
      const data = Buffer.concat([encodeDataHeader(99, 3, true), Buffer.from("abc")]);
      return [data, encodeSynReply(2, encoder.encode([])), encodeSynReply(1, encoder.encode([]), true), data];
    },
    ending: "dropped",
  },
  { name: "ids that fall, repeat and are the server's", bytes: () => manyStreams([9, 1, 9, 2, 4]), ending: "dropped" },
  {
    name: "a thousand streams",
    bytes: () => manyStreams(Array.from({ length: 1000 }, (_, index) => 2 * index + 1)),
    ending: "dropped",
  },
  {
    name: "settings and windows without end",
    bytes: () => [
      Buffer.concat(Array(20_000).fill(hex("8003 0004 00 000004 00000000 8003 0009 00 000008 0000000100001000"))),
    ],
    ending: "dropped",
  },
  { name: "goodbye, and stays", bytes: () => [encodeGoAway(0, 0)], ending: "dropped" },
  { name: "another request", bytes: () => [request], ending: "dropped" },
  { name: "three bytes of a frame", bytes: () => [hex("800300")], ending: "dropped" },
  { name: "nothing", bytes: () => [], ending: "dropped" },
];

/** A frame masked with zeros, so that its bytes are what they look like. */
const frame = (head: string, body: string | Buffer = "") => {
  const payload = typeof body === "string" ? Buffer.from(body, "latin1") : body;
  return [Buffer.concat([hex(head), Buffer.alloc(4), payload])];
};

const webSocket: Omit<Attack, "upgrade">[] = [
  { name: "a frame without a mask", bytes: () => [hex("820100")], ending: "told" },
  { name: "a reserved bit", bytes: () => frame("c281", "\0"), ending: "told" },
  { name: "a kind of frame that is none", bytes: () => frame("8381", "\0"), ending: "told" },
  { name: "a ping of 126 bytes", bytes: () => frame("89fe007e", Buffer.alloc(126)), ending: "told" },
  { name: "half a ping", bytes: () => frame("0981", "\0"), ending: "told" },
  { name: "a continuation of nothing", bytes: () => frame("8081", "\0"), ending: "told" },
  { name: "a message within a message", bytes: () => [...frame("0281", "\0"), ...frame("8281", "\0")], ending: "told" },
  { name: "a message of 2^63 bytes", bytes: () => frame("82ff 8000000000000000"), ending: "told" },
  { name: "a message of 33 MiB", bytes: () => frame("82ff 0000000002100000"), ending: "told" },
  { name: "a message of 33 MiB in pieces", bytes: () => pieces(33), ending: "told" },
  { name: "a close with half a code", bytes: () => frame("8881", "\x03"), ending: "told" },
  { name: "a close with a code nobody may send", bytes: () => frame("8882", hex("03ed")), ending: "told" },
  { name: "a close signal without a channel", bytes: () => frame("8281", "\xff"), ending: "told" },
  { name: "a close signal for channel 5", bytes: () => frame("8282", "\xff\x05"), ending: "told" },
  { name: "a close signal that goes on", bytes: () => frame("8283", "\xff\0\0"), ending: "told" },
  { name: "another request", bytes: () => [request], ending: "told" },
  {
    name: "sizes, outputs, statuses and channels of its own",
    bytes: () =>
      ["\x04{{{{", "\x04}", "\x01out", '\x03{"status":"Success"}', "\x09what", "", '\x04{"Width":-1,"Height":1e9}'].map(
        (text) => encodeMaskedFrame(Opcode.binary, Buffer.from(text, "latin1")),
      ),
    ending: "borne",
  },
  {
    name: "ten thousand empty pieces of a message",
    bytes: () => [...frame("0280"), Buffer.concat(Array(10_000).fill(hex("0080 00000000")))],
    ending: "borne",
  },
  { name: "the first half of a frame", bytes: () => [hex("82fe 0fff 00000000 00")], ending: "borne" },
];

function pieces(megabytes: number): Buffer[] {
  const [first] = frame("02ff 0000000000100000", Buffer.alloc(1 << 20));
  const [next] = frame("00ff 0000000000100000", Buffer.alloc(1 << 20));
  return Array.from({ length: megabytes }, (_, index) => (index === 0 ? first : next) ?? Buffer.alloc(0));
}

/** For a session with the subprotocol v4 (SPDY) or v5 (WebSocket). */
export const attacks: readonly Attack[] = [
  ...spdy.map((attack) => ({ ...attack, upgrade: "spdy" }) as const),
  ...webSocket.map((attack) => ({ ...attack, upgrade: "websocket" }) as const),
];

/** The upgrade before an attack. */
function handshake({ upgrade }: Attack, path: string, headers: Record<string, string>): string {
  const own =
    upgrade === "spdy"
      ? { Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io" }
      : {
          Upgrade: "websocket",
          "Sec-WebSocket-Version": "13",
          "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
          "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
        };
  const all = { Host: "h", Connection: "Upgrade", ...own, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return [`${upgrade === "spdy" ? "POST" : "GET"} ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}

/** How an attack ended. */
export interface Ended {
  /** The status code of the upgrade's answer. */
  statusCode: number;
  /** GOAWAY's status, or the close code; undefined where the server hung up without a word. */
  said: number | undefined;
}

/**
 * Upgrades on a fresh connection, sends the attack, and waits until the server closes. Closes by itself only when the signal is aborted,
 * or, after an attack that may be borne, `stayMs` (100) milliseconds after it was sent.
 */
export async function launch(
  socket: Duplex,
  attack: Attack,
  {
    path,
    headers = {},
    signal,
    stayMs = 100,
  }: { path: string; headers?: Record<string, string>; signal?: AbortSignal; stayMs?: number },
): Promise<Ended> {
  const bomb = attack.bytes(); // packing one takes time that the server would count
  const received: Buffer[] = [];
  let sent = false;
  const closed = Promise.withResolvers<void>();
  socket.on("error", () => {});
  socket.on("close", () => closed.resolve());
  const onAbort = () => socket.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  socket.on("data", (chunk: Buffer) => {
    received.push(chunk);
    if (sent || !Buffer.concat(received).includes("\r\n\r\n")) return;
    sent = true;
    for (const bytes of bomb) if (socket.writable) socket.write(bytes);
    if (attack.ending === "borne") setTimeout(() => socket.destroy(), stayMs);
  });
  socket.write(handshake(attack, path, headers));
  await closed.promise;
  signal?.removeEventListener("abort", onAbort);
  const bytes = Buffer.concat(received);
  const body = bytes.indexOf("\r\n\r\n") + 4;
  const statusCode = Number(/^HTTP\/1\.1 (\d{3})/.exec(bytes.toString("latin1", 0, 12))?.[1] ?? 0);
  const rest = bytes.subarray(body);
  return { statusCode, said: attack.upgrade === "spdy" ? goAwayStatus(rest) : closeCode(rest) };
}

function goAwayStatus(bytes: Buffer): number | undefined {
  for (const frame of new FrameDecoder().push(bytes)) if (frame.type === "goAway") return frame.status;
  return undefined;
}

/** The code of the close among a server's frames, none of which is longer than 64 KiB. */
function closeCode(bytes: Buffer): number | undefined {
  for (let offset = 0; offset + 2 <= bytes.byteLength; ) {
    const [first = 0, second = 0] = bytes.subarray(offset);
    const long = second === 126;
    const start = offset + (long ? 4 : 2);
    if (first === 0x88 && second >= 2) return bytes.readUInt16BE(start);
    offset = start + (long ? bytes.readUInt16BE(offset + 2) : second);
  }
  return undefined;
}
