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

/**
 * Passes keys on, until the given ones come in a row: they are not passed, `onDetach` is called, and nothing follows. The beginning of such a row
 * is held until the next key says what it was.
 */
export class DetachFilter extends Transform {
  readonly #keys: Uint8Array;
  readonly #onDetach: () => void;
  #matched = 0;
  #detached = false;

  constructor(keys: Uint8Array, onDetach: () => void) {
    super();
    this.#keys = keys;
    this.#onDetach = onDetach;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (this.#detached) break;
      if (byte !== this.#keys[this.#matched]) {
        passed.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte === this.#keys[this.#matched]) this.#matched++;
      else passed.push(byte);
      if (this.#matched === this.#keys.length) {
        this.#detached = true;
        this.#onDetach();
      }
    }
    done(null, Buffer.from(passed));
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#detached ? undefined : Buffer.from(this.#keys.subarray(0, this.#matched)));
  }
}
