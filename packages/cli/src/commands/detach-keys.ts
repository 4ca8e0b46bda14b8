import { Transform, type TransformCallback } from "node:stream";
import { UsageError } from "../errors.ts";

/** As docker and CRI-O have them. */
export const defaultDetachKeys = "ctrl-p,ctrl-q";

/** Why an attached session has ended: its user left, and what it was attached to goes on. */
export class Detached extends Error {
  override readonly name = "Detached";
}

/** `ctrl-p,ctrl-q`, `a,b`: one byte each; empty for none. Throws UsageError. */
export function parseDetachKeys(text: string): Buffer {
  if (text === "") return Buffer.alloc(0);
  return Buffer.from(text.split(",").map((key) => byteOf(key, text)));
}

function byteOf(key: string, text: string): number {
  const [, letter] = /^ctrl-([a-z@[\\\]^_])$/.exec(key) ?? [];
  if (letter !== undefined) return letter.toUpperCase().charCodeAt(0) & 0x1f;
  if (/^[ -~]$/.test(key)) return key.charCodeAt(0);
  throw new UsageError(
    `--detach-keys ${JSON.stringify(text)}: a key is one letter or ctrl-LETTER, and keys are parted by commas`,
  );
}

/** Milliseconds that what was typed before the keys may take to be sent: a container may read nothing. */
const unsentMs = 1000;

/**
 * Passes keys on, until the given ones come in a row: they are not passed, and nothing follows. The beginning of such a row is held until
 * the next key says what it was.
 *
 * Read by iteration it tells by `onDetach` that the keys came, once its reader has dealt with all that was typed before, or 1 s later.
 */
export class DetachFilter extends Transform {
  readonly #keys: Uint8Array;
  readonly #onDetach: () => void;
  #matched = 0;
  #detached = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(keys: Uint8Array, onDetach: () => void) {
    super();
    this.#keys = keys;
    this.#onDetach = onDetach;
  }

  async *typed(): AsyncGenerator<Uint8Array, void> {
    yield* this;
    if (this.#detached) this.#onDetach(); // before the reader sees an end, which is not the input's
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (this.#detached) break;
      if (this.#matched === 0 && byte !== this.#keys[0]) {
        passed.push(byte);
        continue;
      }
      const row = [...this.#keys.subarray(0, this.#matched), byte];
      while (row.some((key, at) => key !== this.#keys[at])) passed.push(...row.splice(0, 1));
      this.#matched = row.length;
      if (this.#matched === this.#keys.length) this.#detach();
    }
    done(null, Buffer.from(passed));
    if (this.#detached) this.push(null);
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#detached ? undefined : Buffer.from(this.#keys.subarray(0, this.#matched)));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    super._destroy(error, done);
  }

  #detach() {
    this.#detached = true;
    this.#timer = setTimeout(this.#onDetach, unsentMs);
  }
}
