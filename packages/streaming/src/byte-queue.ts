import type { ByteSource, ByteTaker } from "./bytes.ts";

/** What one queued chunk costs besides its bytes: so that a flood of one-byte chunks meets the limit too. */
const chunkOverhead = 96;

/** Bytes for which a taker that is a queue has room though it says it has none: the rest of what was read. */
const reserve = 64 * 1024;

export interface ByteQueueOptions {
  /** Bytes (and overhead) from which on the queue says it is full. The chunk that crosses it is still taken. */
  limit: number;
  /** The queue became full: stop reading from where the bytes come. */
  onFull?(): void;
  /** The queue is down to half its limit, or discards: read on. Called once per onFull. */
  onDrained?(): void;
  /** The reader left before the end. */
  onDiscard?(): void;
  /** What the queue holds, bytes and overhead, has changed by so much. */
  onChange?(by: number): void;
}

/** Of several queues that one connection fills: it is not read while one of them is full. To be spread into their options. */
export function pausing(connection: {
  pause(): void;
  resume(): void;
}): Pick<Required<ByteQueueOptions>, "onFull" | "onDrained"> {
  let full = 0;
  return {
    onFull() {
      if (++full === 1) connection.pause();
    },
    onDrained() {
      if (--full === 0) connection.resume();
    },
  };
}

/**
 * Bytes between an event that brings them and a reader that takes its time. One reader.
 *
 * What was pushed before end() or fail() is read before the end or the failure is seen.
 * A reader that leaves (break, return, throw) makes the queue discard all that follows, so that nothing behind it is held up.
 */
export class ByteQueue implements ByteSource {
  readonly #options: ByteQueueOptions;
  #chunks: Uint8Array[] = [];
  #head = 0;
  #cost = 0;
  #full = false;
  #discarding = false;
  #end: { error?: unknown } | undefined;
  #waiting: PromiseWithResolvers<IteratorResult<Uint8Array, undefined>> | undefined;
  #taker: ByteTaker | undefined;
  /** The taker has no room. */
  #blocked = false;
  /** Bytes that it takes nevertheless. */
  #reserve = 0;

  constructor(options: ByteQueueOptions) {
    this.#options = options;
  }

  get full(): boolean {
    return this.#full;
  }

  /** No more will come: by end() or by fail(). */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Takes a view; empty ones and those after the end are ignored. A small view on a large buffer is copied, so that it does not keep the
   * buffer. True when nothing of it is kept.
   */
  push(chunk: Uint8Array): boolean {
    if (chunk.byteLength === 0 || this.#end || this.#discarding) return true;
    if (this.#waiting) {
      const { resolve } = this.#waiting;
      this.#waiting = undefined;
      resolve({ value: chunk, done: false });
      return false;
    }
    if (this.#taker && !this.#blocked) {
      const done = this.#taker.push(chunk);
      this.#waitForRoom(this.#taker);
      return done;
    }
    if (this.#taker?.isQueue && this.#cost === 0 && chunk.byteLength <= this.#reserve) {
      this.#reserve -= chunk.byteLength;
      return this.#taker.push(chunk);
    }
    const kept = chunk.byteLength * 4 < chunk.buffer.byteLength ? new Uint8Array(chunk) : chunk;
    this.#chunks.push(kept);
    this.#change(kept.byteLength + chunkOverhead);
    if (this.#cost >= this.#options.limit) this.#filled();
    return kept !== chunk;
  }

  /** EOF, after what is queued. */
  end(): void {
    this.#finish({});
  }

  /** The reader gets `error`, after what is queued. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  /** Drops what is queued and all that follows. */
  discard(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    this.#chunks = [];
    this.#head = 0;
    this.#change(-this.#cost);
    this.#drained();
    this.#options.onDiscard?.();
  }

  handTo(taker: ByteTaker): void {
    this.#taker = taker;
    this.#handOn(taker);
  }

  /** What is queued, for as long as there is room; then the end. */
  #handOn(taker: ByteTaker) {
    while (!this.#blocked) {
      const chunk = this.#shift();
      if (!chunk) break;
      taker.push(chunk);
      this.#waitForRoom(taker);
    }
    if (this.#blocked) return;
    this.#drained();
    if (!this.#end) return;
    this.#taker = undefined;
    if ("error" in this.#end) taker.fail(this.#end.error);
    else taker.end();
  }

  #waitForRoom(taker: ByteTaker) {
    const wait = taker.room();
    if (!wait) return;
    this.#blocked = true;
    this.#reserve = reserve;
    if (taker.isQueue) this.#filled();
    const goOn = () => {
      this.#blocked = false;
      this.#handOn(taker);
    };
    wait.then(goOn, goOn);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return { next: () => this.#next(), return: () => this.#leave() };
  }

  async #leave(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.discard();
    this.#finish({});
    return { value: undefined, done: true };
  }

  #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const value = this.#shift();
    if (value) return Promise.resolve({ value, done: false });
    if (this.#end) return settled(this.#end);
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  #shift(): Uint8Array | undefined {
    const chunk = this.#chunks[this.#head];
    if (!chunk) return undefined;
    this.#head++;
    if (this.#head === this.#chunks.length) {
      this.#chunks = [];
      this.#head = 0;
    } else if (this.#head === 1024) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    this.#change(-chunk.byteLength - chunkOverhead);
    if (this.#cost <= this.#options.limit / 2 && !this.#taker?.isQueue) this.#drained();
    return chunk;
  }

  #change(by: number) {
    this.#cost += by;
    this.#options.onChange?.(by);
  }

  #filled() {
    if (this.#full) return;
    this.#full = true;
    this.#options.onFull?.();
  }

  #drained() {
    if (!this.#full) return;
    this.#full = false;
    this.#options.onDrained?.();
  }

  #finish(end: { error?: unknown }) {
    if (this.#end) return;
    this.#end = end;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(settled(end));
    if (this.#taker && !this.#blocked) this.#handOn(this.#taker);
  }
}

function settled(end: { error?: unknown }): Promise<IteratorResult<Uint8Array, undefined>> {
  return "error" in end ? Promise.reject(end.error) : Promise.resolve({ value: undefined, done: true });
}
