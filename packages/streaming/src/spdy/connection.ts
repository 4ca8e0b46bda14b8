import { ProtocolError, StreamError } from "../errors.ts";
import { Heartbeat } from "../heartbeat.ts";
import { Silence } from "../silence.ts";
import type { Transport } from "../transport.ts";
import { FrameDecoder } from "./decode.ts";
import {
  encodeDataHeader,
  encodeGoAway,
  encodePing,
  encodeRstStream,
  encodeSynReply,
  encodeSynStream,
  type Frame,
  GoAwayStatus,
  ResetStatus,
} from "./frame.ts";
import { HeaderEncoder } from "./headers.ts";
import { isHopPing } from "./hop-pings.ts";
import { type Receiver, SpdyStream, type StreamLink } from "./stream.ts";

export interface SpdyConnectionOptions {
  role: "client" | "server";
  /** Streams that may be open at once; one more is refused. */
  maxStreams: number;
  /** Bytes one stream may hold unread; then the whole connection is not read: SPDY's peers know no flow control but TCP's. */
  queueBytes?: number;
  /** The peer opened a stream: reply() or reset() it. Called before any of its data. Where absent, all are refused. */
  onStream?(stream: SpdyStream): void;
  /** Milliseconds of silence until we ping; 0 for never. */
  pingMs?: number;
  /** Milliseconds of unanswered pings, though we read, after which the peer counts as lost; 0 for never. See Silence for when it is more. */
  lostMs?: number;
  /** Milliseconds without use until onIdle; 0 for never. */
  idleMs?: number;
  onIdle?(): void;
}

/** Bytes of answers (pings, resets, replies) and data the peer may leave untaken before it is given up: a flood. */
const maxBacklog = 4 * 1024 * 1024;
/** Bytes that all streams together may hold unread; then the connection is not read, though no single queue is full. */
export const maxQueued = 8 * 1024 * 1024;
/** The largest stream id. */
const maxStreamId = 0x7fff_ffff;
/** Milliseconds until a connection whose peer has ended, or broke the protocol, is closed. */
const goneMs = 5000;

/**
 * SPDY/3.1 over a transport, as Kubernetes speaks it: no windows, no settings; a stream that nobody reads holds up the others
 * once its queue is full.
 *
 * Source: moby/spdystream connection.go
 */
export class SpdyConnection {
  readonly #transport: Transport;
  readonly #options: SpdyConnectionOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #decoder = new FrameDecoder();
  readonly #headers = new HeaderEncoder();
  readonly #heartbeat: Heartbeat;
  readonly #silence: Silence;
  readonly #gone = new AbortController();
  readonly #link: StreamLink;
  #nextId: number;
  #lastPeerId = 0;
  #pingId: number;
  #blocked = 0;
  #queued = 0;
  #overfull = false;
  #goingAway = false;
  #left = false;
  #goodbye: NodeJS.Timeout | undefined;

  constructor(transport: Transport, options: SpdyConnectionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#nextId = options.role === "client" ? 1 : 2;
    this.#pingId = this.#nextId;
    this.#link = this.#makeLink();
    this.#silence = new Silence({ lostMs: options.lostMs ?? 0, sent: () => this.#mostSent() });
    this.#heartbeat = new Heartbeat({
      pingMs: options.pingMs ?? 0,
      idleMs: options.idleMs ?? 0,
      ping: () => this.ping(),
      idle: () => options.onIdle?.(),
      tick: (elapsedMs) => this.#tick(elapsedMs),
    });
  }

  /** Aborted when the connection is over, with a StreamError; also by the peer's GOAWAY. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when the transport is closed. */
  get closed(): Promise<void> {
    return this.#transport.closed;
  }

  /** Begins to read. */
  start(): void {
    this.#transport.start({ data: (chunk) => this.#receive(chunk), end: (error) => this.#end(error) });
  }

  /** Opens a stream; its first write waits for the peer's reply. Throws StreamError when the connection is over. */
  open(headers: Iterable<readonly [string, string]>, options: { receiver?: Receiver; fin?: boolean } = {}): SpdyStream {
    if (this.#gone.signal.aborted) throw this.#gone.signal.reason;
    const list = [...headers];
    const id = this.#nextId;
    if (id > maxStreamId) throw new StreamError("lost", "the connection has used up its stream ids");
    this.#nextId += 2;
    const stream = this.#add(id, new Map(list), options.receiver);
    this.#send([encodeSynStream(id, this.#headers.encode(list), options.fin)]);
    return stream;
  }

  ping(): void {
    this.#send([encodePing(this.#pingId)]);
    this.#pingId = (this.#pingId + 2) & 0x7fff_ffff;
  }

  /** Resets what is open, says GOAWAY, and closes once all that was sent has left, or after `withinMs`. */
  close(withinMs?: number): void {
    if (this.#left) return;
    for (const stream of [...this.#streams.values()]) stream.reset(ResetStatus.cancel);
    this.#leave(GoAwayStatus.ok, withinMs);
    this.#finish(new StreamError("lost", "the connection was closed here"));
  }

  /** Waits until the peer has closed, for at most `milliseconds`. */
  async peerClosed(milliseconds: number): Promise<void> {
    if (this.#gone.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    this.#gone.signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    clearTimeout(timer);
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#transport.destroy();
    this.#finish(new StreamError("lost", "the connection was dropped here"));
  }

  #tick(elapsedMs: number) {
    if (this.#blocked > 0) {
      this.#silence.broken();
      // While we do not read we would not see the peer go: a ping provokes the reset that tells us.
      return this.ping();
    }
    const lost = this.#silence.passed(elapsedMs);
    if (lost === undefined) return;
    this.#transport.destroy();
    this.#finish(new StreamError("lost", lost));
  }

  /**
   * Of the open streams. What of it was taken by who reads it nobody tells, since there are no windows; and a pong tells nothing
   * either, as the usual server answers while some of its queues are full.
   */
  #mostSent(): number {
    let most = 0;
    for (const { sent } of this.#streams.values()) most = Math.max(most, sent);
    return most;
  }

  #makeLink(): StreamLink {
    return {
      data: (streamId, bytes, fin) => {
        this.#heartbeat.used();
        const header = encodeDataHeader(streamId, bytes.byteLength, fin);
        this.#transport.write(bytes.byteLength > 0 ? [header, bytes] : [header]);
      },
      room: () => this.#transport.room(),
      held: () => this.#transport.held,
      reset: (streamId, status) => this.#send([encodeRstStream(streamId, status)]),
      reply: (streamId) => this.#send([encodeSynReply(streamId, this.#headers.encode([]))]),
      finished: (streamId) => this.#streams.delete(streamId),
      blocked: (full) => this.#block(full),
      queued: (by) => {
        this.#queued += by;
        if (this.#overfull ? this.#queued > maxQueued / 2 : this.#queued < maxQueued) return;
        this.#overfull = !this.#overfull;
        this.#block(this.#overfull);
      },
    };
  }

  #block(full: boolean) {
    this.#blocked += full ? 1 : -1;
    if (full && this.#blocked === 1) this.#transport.pause();
    else if (!full && this.#blocked === 0) this.#transport.resume();
  }

  #add(id: number, headers: SpdyStream["headers"], receiver?: Receiver): SpdyStream {
    const queueBytes = this.#options.queueBytes ?? 256 * 1024;
    const stream = new SpdyStream({ id, headers, link: this.#link, queueBytes, receiver });
    this.#streams.set(id, stream);
    return stream;
  }

  /** Control frames: never waited for, but a peer that leaves too many of them untaken is given up. */
  #send(parts: Uint8Array[]) {
    this.#transport.write(parts);
    if (this.#transport.backlog > maxBacklog) this.destroy();
  }

  #receive(chunk: Buffer): boolean {
    if (this.#gone.signal.aborted && !this.#goingAway) return true;
    this.#heartbeat.heard();
    this.#silence.broken();
    let done = true;
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (frame.type === "data") done = this.#takeData(frame) && done;
        else this.#take(frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#leave(GoAwayStatus.protocolError, goneMs);
      this.#finish(new StreamError("protocol", error.message, { cause: error }));
    }
    return done;
  }

  #takeData({ streamId, bytes, fin }: Extract<Frame, { type: "data" }>): boolean {
    this.#heartbeat.used();
    return this.#streams.get(streamId)?.received(bytes, fin) ?? true;
  }

  #take(frame: Exclude<Frame, { type: "data" }>) {
    switch (frame.type) {
      case "synStream":
        return this.#takeStream(frame);
      case "synReply": {
        const stream = this.#streams.get(frame.streamId);
        stream?.replied();
        if (frame.fin) stream?.receivedEnd();
        return;
      }
      case "headers":
        if (frame.fin) this.#streams.get(frame.streamId)?.receivedEnd();
        return;
      case "rstStream":
        return this.#streams.get(frame.streamId)?.receivedReset(frame.status);
      case "ping":
        if (frame.id % 2 === this.#nextId % 2) return; // the answer to ours
        if (!isHopPing(frame.id)) this.#heartbeat.used();
        return this.#send([encodePing(frame.id)]);
      case "goAway":
        // Peers say it when all is over. What still comes is read, but nobody needs to wait for it.
        this.#goingAway = true;
        this.#gone.abort(new StreamError("lost", (peer = "the peer") => `${peer} said goodbye`));
        return this.#endSoon();
      case "ignored":
        return;
    }
  }

  #takeStream(frame: Extract<Frame, { type: "synStream" }>) {
    const { streamId, headers, fin } = frame;
    if (streamId <= this.#lastPeerId || streamId % 2 === this.#nextId % 2) {
      return this.#send([encodeRstStream(streamId, ResetStatus.protocolError)]);
    }
    this.#lastPeerId = streamId;
    if (!this.#options.onStream || this.#goingAway || this.#streams.size >= this.#options.maxStreams) {
      return this.#send([encodeRstStream(streamId, ResetStatus.refusedStream)]);
    }
    this.#heartbeat.used();
    const stream = this.#add(streamId, headers);
    this.#options.onStream(stream);
    if (fin) stream.receivedEnd();
  }

  #leave(status: number, withinMs?: number) {
    this.#left = true;
    this.#transport.write([encodeGoAway(this.#lastPeerId, status)]);
    this.#transport.end(withinMs);
  }

  /** Who has said goodbye gets a little time for what was under way. */
  #endSoon() {
    if (this.#goodbye) return;
    this.#goodbye = setTimeout(() => {
      this.#left = true;
      this.#transport.destroy();
      this.#finish(new StreamError("lost", (peer = "the peer") => `${peer} said goodbye`));
    }, goneMs);
  }

  #end(error: Error | undefined) {
    this.#left = true;
    if (!error) this.#transport.end(goneMs); // nobody is there to take what still waits
    this.#finish(error ?? new StreamError("lost", (peer = "the peer") => `${peer} closed the connection`));
  }

  #finish(error: Error) {
    this.#heartbeat[Symbol.dispose]();
    clearTimeout(this.#goodbye);
    this.#goingAway = false;
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    this.#gone.abort(error);
    this.#transport.resume(); // so that the socket's own end is seen
  }
}
