import type { OutputStream } from "../io.ts";
import { write } from "../io.ts";

/** Bytes of a log that is shown before the session, and of the session that are held back meanwhile. */
const maxHeldBytes = 1024 * 1024;

/**
 * Joins what a container wrote before we were attached, taken from its log, with what the session brings, so that
 * nothing is missing in between and nothing comes twice. The session's output is held back until `release` says what
 * the log had; what both have is the log's end and the session's beginning.
 */
export class HistoryGate {
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  #held: { to: OutputStream; chunk: Uint8Array }[] | undefined = [];
  #bytes = 0;
  readonly #opened = Promise.withResolvers<void>();

  constructor({ stdout, stderr }: { stdout: OutputStream; stderr: OutputStream }) {
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  get stdout() {
    return { write: (chunk: Uint8Array) => this.#write(this.#stdout, chunk) };
  }

  get stderr() {
    return { write: (chunk: Uint8Array) => this.#write(this.#stderr, chunk) };
  }

  async #write(to: OutputStream, chunk: Uint8Array): Promise<void> {
    if (this.#held && this.#bytes + chunk.length > maxHeldBytes) await this.#opened.promise;
    if (!this.#held) return await write(to, chunk);
    this.#bytes += chunk.length;
    this.#held.push({ to, chunk });
  }

  /** `log` is what the container's log had when the session was already open; empty where it is not known. Throws what an output does. */
  async release(log: Uint8Array): Promise<void> {
    const held = this.#held;
    if (!held) return;
    try {
      await write(this.#stdout, log);
      let common = overlap(log, Buffer.concat(held.map(({ chunk }) => chunk)));
      for (let next = held.shift(); next; next = held.shift()) {
        const skip = Math.min(common, next.chunk.length);
        common -= skip;
        await write(next.to, next.chunk.subarray(skip));
      }
    } finally {
      // Also where an output has failed: who waits here writes to it, and is told.
      this.#held = undefined;
      this.#opened.resolve();
    }
  }
}

/** Length of the longest end of `before` that is the beginning of `after`. */
export function overlap(before: Uint8Array, after: Uint8Array): number {
  const a = Buffer.from(before.buffer, before.byteOffset, before.byteLength);
  // Knuth, Morris, Pratt: how much of `after` matches at the end of what was read of `before`.
  const fallback = new Uint32Array(after.length + 1);
  for (let i = 1, length = 0; i < after.length; i++) {
    while (length > 0 && after[i] !== after[length]) length = fallback[length] ?? 0;
    if (after[i] === after[length]) length++;
    fallback[i + 1] = length;
  }
  let matched = 0;
  for (const byte of a.subarray(Math.max(0, a.length - after.length))) {
    while (matched > 0 && (matched === after.length || byte !== after[matched])) matched = fallback[matched] ?? 0;
    if (byte === after[matched]) matched++;
  }
  return matched;
}

export const maxLogBytes = maxHeldBytes;
