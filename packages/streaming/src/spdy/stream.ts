import { ByteQueue } from "../byte-queue.ts";
import type { ByteDuplex, ByteSink, ByteSource } from "../bytes.ts";
import { StreamError } from "../errors.ts";
import { type Headers, ResetStatus } from "./frame.ts";

/** Takes what a stream receives, at once and in order. A ByteQueue is one. */
export interface Receiver {
  /** True when it has done with the memory; else the bytes are its own from now on. */
  push(bytes: Uint8Array): boolean;
  end(): void;
  fail(error: unknown): void;
}

/** Takes everything and keeps nothing. */
export const nowhere: Receiver = { push: () => true, end() {}, fail() {} };

/** What a stream needs of its connection. */
export interface StreamLink {
  data(streamId: number, bytes: Uint8Array, fin: boolean): void;
  /** As the transport's. */
  room(): Promise<void> | undefined;
  /** As the transport's. */
  held(): number;
  reset(streamId: number, status: ResetStatus): void;
  reply(streamId: number): void;
  /** Both directions are over. */
  finished(streamId: number): void;
  /** A queue is full (true), or has room again (false). */
  blocked(full: boolean): void;
  /** What a queue holds has changed by so many bytes. */
  queued(by: number): void;
}

export interface SpdyStreamOptions {
  id: number;
  headers: Headers;
  link: StreamLink;
  queueBytes: number;
  /** Takes what is received in place of the stream's own queue. */
  receiver?: Receiver | undefined;
}

/** Data of one frame, at most. */
const maxDataLength = 64 * 1024;
const names = Object.fromEntries(Object.entries(ResetStatus).map(([name, status]) => [status, name]));

/** One SPDY stream: two directions, each ended by itself with close(), or both at once by a reset. */
export class SpdyStream implements ByteDuplex {
  readonly id: number;
  readonly headers: Headers;
  readonly source: ByteSource;
  readonly sink: ByteSink;
  /** May a reset by the peer count as an orderly end of what it sent? Asked when the reset comes. */
  resetIsEnd: (() => boolean) | undefined;
  /** Told when the stream is reset or lost. */
  onFailure: ((error: unknown) => void) | undefined;
  /** Takes what is received. To be replaced, if at all, before the stream is replied to. */
  receiver: Receiver;
  readonly #link: StreamLink;
  readonly #queue: ByteQueue;
  readonly #replied = Promise.withResolvers<void>();
  readonly #finished = Promise.withResolvers<void>();
  #sent = 0;
  #open = false;
  #localClosed = false;
  #remoteClosed = false;
  #failure: unknown;

  constructor({ id, headers, link, queueBytes, receiver }: SpdyStreamOptions) {
    this.id = id;
    this.headers = headers;
    this.#link = link;
    this.#queue = new ByteQueue({
      limit: queueBytes,
      onFull: () => link.blocked(true),
      onDrained: () => link.blocked(false),
      onChange: (by) => link.queued(by),
    });
    this.receiver = receiver ?? this.#queue;
    this.source = this.#queue;
    const held = () => (this.#open ? link.held() : Number.POSITIVE_INFINITY);
    this.sink = {
      get held() {
        return held();
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#close(),
      abort: async () => this.reset(ResetStatus.cancel),
    };
    this.#replied.promise.catch(() => {}); // who writes sees it
  }

  /** Why the stream was reset or lost; undefined while it was not. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Bytes written so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Resolves when both directions are over, however they ended. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Accepts a stream the peer opened. */
  reply(): void {
    if (this.#open || this.#failure) return;
    this.#link.reply(this.id);
    this.replied();
  }

  /** Ends both directions at once; the peer learns it by a reset. What was received is dropped, unless it is all there was. */
  reset(status: ResetStatus = ResetStatus.cancel): void {
    if (this.#localClosed && this.#remoteClosed) return;
    this.#link.reset(this.id, status);
    if (!this.#remoteClosed) this.#queue.discard();
    this.fail(new StreamError("lost", `stream ${this.id} was reset here`));
  }

  /** Nobody will read any more: what comes is dropped, so that it holds up nothing. */
  discard(): void {
    this.#queue.discard();
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!this.#open) await this.#replied.promise;
    for (let offset = 0; offset < chunk.byteLength; offset += maxDataLength) {
      for (let wait = this.#link.room(); wait; wait = this.#link.room()) await wait;
      if (this.#failure) throw this.#failure;
      if (this.#localClosed) throw new StreamError("lost", `stream ${this.id} is closed for writing`);
      const whole = chunk.byteLength <= maxDataLength;
      const part = whole ? chunk : chunk.subarray(offset, offset + maxDataLength);
      this.#sent += part.byteLength;
      this.#link.data(this.id, part, false);
    }
  }

  async #close(): Promise<void> {
    if (this.#localClosed) return;
    if (!this.#open) await this.#replied.promise;
    if (this.#localClosed) return;
    if (this.#failure) throw this.#failure;
    this.#localClosed = true;
    this.#link.data(this.id, new Uint8Array(0), true);
    this.#over();
  }

  // What follows is called by the connection.

  replied(): void {
    this.#open = true;
    this.#replied.resolve();
  }

  /** True as the receiver's. */
  received(bytes: Uint8Array, fin: boolean): boolean {
    if (this.#remoteClosed) return true;
    const done = this.receiver.push(bytes);
    if (fin) this.receivedEnd();
    return done;
  }

  receivedEnd(): void {
    if (this.#remoteClosed) return;
    this.#remoteClosed = true;
    this.receiver.end();
    this.#over();
  }

  receivedReset(status: number): void {
    if (this.resetIsEnd?.() && !this.#remoteClosed) {
      this.#remoteClosed = true;
      this.receiver.end();
    }
    const why = names[status] ?? status;
    this.fail(new StreamError("truncated", (peer = "the peer") => `stream ${this.id} was reset by ${peer}: ${why}`));
  }

  /** The connection is gone, or the stream was reset. */
  fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#localClosed = true;
    this.#replied.reject(error);
    if (!this.#remoteClosed) {
      this.#remoteClosed = true;
      this.receiver.fail(error);
    }
    this.onFailure?.(error);
    this.#over();
  }

  #over() {
    if (!this.#localClosed || !this.#remoteClosed) return;
    this.#link.finished(this.id);
    this.#finished.resolve();
  }
}
