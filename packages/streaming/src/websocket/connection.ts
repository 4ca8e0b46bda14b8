import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { ProtocolError, StreamError } from "../errors.ts";
import { Heartbeat } from "../heartbeat.ts";
import { heldBy, roomIn } from "../node.ts";
import { readReused } from "../read-reused.ts";
import { Silence } from "../silence.ts";
import { roomToWrite, tuneSocket, writeParts } from "../transport.ts";
import { encodeFrameHeader, encodeMaskedFrame, frameTaken, Opcode } from "./frame.ts";
import { LargeFrames } from "./large-frames.ts";
import { Unfinished } from "./unfinished.ts";

/** What ws is told on both sides. Sizes in bytes. */
export const webSocketOptions = {
  perMessageDeflate: false,
  /** Pongs are ours: ws would give up a client whose pongs pile up behind an output that nobody reads. */
  autoPong: false,
  skipUTF8Validation: true,
  /** As golang.org/x/net/websocket's: some clients send a whole file as one message. */
  maxPayload: 32 * 1024 * 1024,
  /** Ours starts when our last byte has left (see close()); this is only its upper bound, milliseconds. */
  closeTimeout: 4 * 3600 * 1000,
} as const;

/** Milliseconds the peer may take for its close once it has all we sent. */
const closeMs = 5000;
/** Milliseconds that one who broke the protocol, or has said close first, gets to read our close and to hang up. */
const failMs = 1000;

export interface WebSocketHandler {
  /** A whole message. A view that stays valid. What it throws as a ProtocolError ends the connection with that, as of piece(). */
  message(data: Buffer, isBinary: boolean): void;
  /**
   * A piece of a large binary message, as it came, the message's first byte apart. True when it has done with
   * the memory; else the bytes are its own. Where absent, large messages come whole, too.
   */
  piece?(channel: number, bytes: Buffer): boolean;
  /** The connection is over: with close code 1000 without an error, in any other way with one. Called once. */
  end(error?: StreamError): void;
}

export interface WebSocketConnectionOptions {
  role: "client" | "server";
  /** The subprotocol agreed on. */
  protocol: string;
  /** Milliseconds of silence until we ping; 0 for never. */
  pingMs: number;
  /** Milliseconds without use until onIdle; 0 for never. */
  idleMs?: number;
  onIdle?(): void;
  /** Milliseconds without any byte from the peer, though we read, after which it counts as lost; 0 for never. See Silence for when it is more. */
  lostMs?: number;
}

/**
 * A WebSocket with messages in, messages out, and back-pressure both ways. Pings are answered even while writers wait,
 * and while we do not read the peer gets unasked pongs, so that it knows we live (RFC 6455, section 5.5.3).
 *
 * Make it in the very turn in which ws hands the socket over: messages may follow in the next.
 */
export class WebSocketConnection {
  readonly protocol: string;
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  readonly #drained: () => Promise<void>;
  readonly #heartbeat: Heartbeat;
  readonly #masked: boolean;
  readonly #closed = Promise.withResolvers<void>();
  #handler: WebSocketHandler | undefined;
  #held: { data: Buffer; isBinary: boolean }[] = [];
  #ended: { error: StreamError | undefined } | undefined;
  #failure: Error | undefined;
  #paused = false;
  /** Somebody has said close. */
  #closing = false;
  #pong: Buffer | undefined;
  #pongUnderWay = false;
  readonly #silence: Silence;
  /** Bytes of messages that were sent, and how many of them before a ping that was answered: those the peer has dealt with. */
  readonly #sent = { all: 0, taken: 0 };
  #closingMs = 0;
  readonly #unfinished = new Unfinished();

  constructor(ws: WebSocket, socket: Duplex, options: WebSocketConnectionOptions) {
    tuneSocket(socket);
    this.#ws = ws;
    this.#socket = socket;
    this.#masked = options.role === "client";
    this.protocol = options.protocol;
    this.#drained = roomIn(socket);
    const { pingMs, idleMs = 0, lostMs = 0, onIdle = () => {} } = options;
    this.#silence = new Silence({ lostMs, sent: () => (this.#sent.taken < this.#sent.all ? this.#sent.all : 0) });
    this.#heartbeat = new Heartbeat({
      pingMs,
      idleMs,
      ping: () => this.#ping(),
      idle: onIdle,
      tick: (elapsedMs) => this.#tick(elapsedMs),
    });
    this.#read(options.role);
    // ws closes then with 1006, and does not say why.
    socket.once("error", (error: Error) => {
      this.#failure ??= error;
    });
    ws.on("message", (data: Buffer, isBinary: boolean) => this.#message(data, isBinary));
    ws.on("ping", (data: Buffer) => this.#pinged(data));
    ws.on("pong", (data: Buffer) => this.#ponged(data));
    ws.on("error", (error) => {
      this.#failure ??= error;
      // ws has sent its close and would wait for an answer; what broke the protocol need not give one.
      this.#end(isProtocolError(error) ? 1002 : 1006, error.message);
      this.#terminateSoon();
    });
    ws.on("close", (code, reason) => this.#closedNow(code, reason.toString("utf8")));
  }

  /** Begins to hand out what comes. */
  start(handler: WebSocketHandler): void {
    this.#handler = handler;
    const held = this.#held;
    this.#held = [];
    for (const { data, isBinary } of held) this.#guard(() => handler.message(data, isBinary));
    if (this.#ended) handler.end(this.#ended.error);
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get backlog(): number {
    return this.#socket.writableLength;
  }

  /** As a transport's. */
  get held(): number {
    return heldBy(this.#socket);
  }

  /** Queues one message, `prefix` being its first byte. Ignored once closing. */
  send(payload: Uint8Array, { prefix, opcode = Opcode.binary }: { prefix?: number; opcode?: Opcode } = {}): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#heartbeat.used();
    this.#sent.all += payload.byteLength;
    if (this.#masked) {
      const frame = encodeMaskedFrame(opcode, payload, prefix);
      writeParts(this.#socket, [frame], () => frameTaken(frame));
    } else writeParts(this.#socket, [encodeFrameHeader(opcode, payload.byteLength, prefix), payload]);
  }

  /** Undefined when there is room for a message; else what to wait for before asking again. Rejects once closed. */
  room(): Promise<void> | undefined {
    if (this.#ws.readyState !== this.#ws.OPEN) {
      return Promise.reject(this.#ended?.error ?? new StreamError("lost", "the WebSocket is closed"));
    }
    return roomToWrite(this.#socket, this.#drained);
  }

  pause(): void {
    this.#paused = true;
    this.#ws.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#ws.resume();
  }

  /** The orderly end: our close frame behind all that was sent, then up to 10 s for the peer's once it has left. */
  close(code: number, reason = ""): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#closing = true;
    this.resume(); // the peer's close is behind what it sent before
    this.#ws.close(code, reason);
    const linger = () => {
      const timer = setTimeout(() => this.#ws.terminate(), closeMs);
      void this.closed.then(() => clearTimeout(timer));
    };
    if (this.#socket.writableLength === 0) linger();
    else this.#socket.once("drain", linger);
  }

  /**
   * Ends a connection whose peer broke the protocol: the close frame says how, the handler's end() gets a `protocol` error,
   * and in 1 s the connection is closed, whether or not the peer has taken our close.
   */
  fail({ code, message }: ProtocolError): void {
    const cause = new ProtocolError(message, code);
    this.#failure ??= new StreamError("protocol", `websocket: close ${code}: ${message}`, { cause });
    this.close(code, message.slice(0, 100));
    this.#end(code, message);
    this.#terminateSoon();
  }

  destroy(): void {
    this.#ws.terminate();
  }

  #terminateSoon() {
    const timer = setTimeout(() => this.#ws.terminate(), failMs);
    void this.closed.then(() => clearTimeout(timer));
  }

  /** Our reader takes the place of ws's, which gets from it what is not a large message. */
  #read(role: "client" | "server") {
    const socket = this.#socket;
    const [toWs] = socket.listeners("data");
    if (!toWs) throw new Error("ws does not read its socket");
    socket.removeAllListeners("data");
    let forwarded = 0;
    const frames = new LargeFrames({
      masked: role === "server",
      maxPayload: webSocketOptions.maxPayload,
      piece: () => this.#handler?.piece && ((channel, bytes) => this.#piece(channel, bytes)),
      forward(bytes) {
        forwarded += bytes.byteLength;
        toWs.call(socket, bytes);
      },
      ended: () => this.#unfinished.clear(),
    });
    this.#ws.on("error", () => frames.stop());
    readReused(socket, (chunk) => {
      forwarded = 0;
      const done = frames.push(chunk);
      this.#received(forwarded);
      return done;
    });
  }

  #piece(channel: number, bytes: Buffer): boolean {
    if (this.#ended) return true;
    this.#heartbeat.used();
    return this.#guard(() => this.#handler?.piece?.(channel, bytes)) ?? true;
  }

  #guard<T>(take: () => T): T | undefined {
    try {
      return take();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(error);
      return undefined;
    }
  }

  #received(bytes: number) {
    this.#silence.broken();
    // The peer has said close, and ws has answered: it need not take long to hang up.
    if (this.#ws.readyState === this.#ws.CLOSING && !this.#closing) {
      this.#closing = true;
      this.#terminateSoon();
    }
    if (this.#ended || this.#unfinished.add(bytes)) return;
    this.fail(new ProtocolError("too many unfinished messages are held", 1009));
  }

  #message(data: Buffer, isBinary: boolean) {
    this.#unfinished.clear();
    if (this.#ended) return;
    this.#heartbeat.used();
    const handler = this.#handler;
    if (handler) this.#guard(() => handler.message(data, isBinary));
    else this.#held.push({ data, isBinary }); // those of one turn at most
  }

  /** One pong is under way at a time; of several pings waiting for it only the last is answered, as the RFC allows. */
  #pinged(data: Buffer) {
    this.#heartbeat.heard(); // a sign of life and no use, as in the real server: clients ping every 5 s for as long as they live
    this.#pong = Buffer.from(data);
    this.#sendPong();
  }

  #sendPong() {
    if (!this.#pong || this.#pongUnderWay || this.#ws.readyState !== this.#ws.OPEN) return;
    const data = this.#pong;
    this.#pong = undefined;
    this.#pongUnderWay = true;
    this.#ws.pong(data, this.#masked, () => {
      this.#pongUnderWay = false;
      this.#sendPong();
    });
  }

  #ping() {
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.ping(String(this.#sent.all));
  }

  /** It brings back what our ping said: the peer has got as far as that. One that nobody asked for is empty. */
  #ponged(data: Buffer) {
    this.#heartbeat.heard();
    const taken = Number(data.toString("latin1"));
    if (taken <= this.#sent.all) this.#sent.taken = Math.max(this.#sent.taken, taken);
  }

  #tick(elapsedMs: number) {
    if (this.#ws.readyState !== this.#ws.OPEN) {
      // Both have said close, or one has: who then does not hang up is hung up on.
      if (this.#socket.writableLength > 0) return;
      this.#closingMs += elapsedMs;
      if (this.#closingMs > closeMs) this.#ws.terminate();
      return;
    }
    if (this.#paused) {
      this.#silence.broken();
      this.#pong ??= Buffer.alloc(0);
      return this.#sendPong();
    }
    const lost = this.#silence.passed(elapsedMs);
    if (lost === undefined) return;
    this.#failure = new StreamError("lost", lost);
    this.#ws.terminate();
  }

  #closedNow(code: number, reason: string) {
    this.#heartbeat[Symbol.dispose]();
    this.#unfinished.clear();
    this.#closed.resolve();
    this.#end(code, reason);
  }

  #end(code: number, reason: string) {
    if (this.#ended) return;
    this.#ended = { error: code === 1000 ? undefined : closeError(code, reason, this.#failure) };
    this.#handler?.end(this.#ended.error);
  }
}

/** Close codes by which a peer says that somebody broke the protocol. */
const protocolCodes = new Set([1002, 1003, 1007, 1009]);

function closeError(code: number, reason: string, cause: Error | undefined): StreamError {
  if (cause instanceof StreamError) return cause;
  const kind = protocolCodes.has(code) || (cause && isProtocolError(cause)) ? "protocol" : "lost";
  const why = reason || cause?.message || (code === 1006 ? "abnormal closure" : "");
  return new StreamError(kind, `websocket: close ${code}${why && `: ${why}`}`, { cause });
}

/** Did ws find the peer's frames wrong? */
function isProtocolError(error: Error): boolean {
  return "code" in error && String(error.code).startsWith("WS_ERR");
}
