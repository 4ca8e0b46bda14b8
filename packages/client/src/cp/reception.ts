import { TarDecoder, TarError, type TarEvent } from "@hawser/tar";
import { changedError } from "./remote.ts";

/** The end of what was received that is asked for once more after a loss, to see that it is the same archive, bytes. */
const overlapSize = 64 * 1024;
/** Most bytes behind an archive's end: tar fills up its last record with zeros. */
const maxTrailing = 1024 * 1024;

/** Takes an archive that may come in several goes, each one from where the one before broke off. */
export class Reception {
  readonly #decoder = new TarDecoder();
  readonly #take: (event: TarEvent) => Promise<void>;
  readonly #onEnd: () => void;
  #received = 0;
  #trailing = 0;
  #tail: Buffer = Buffer.alloc(0);
  #skip = 0;
  #expected: Buffer = Buffer.alloc(0);

  constructor({ take, onEnd }: { take: (event: TarEvent) => Promise<void>; onEnd: () => void }) {
    this.#take = take;
    this.#onEnd = onEnd;
  }

  /** Whether the archive has come to its own end. */
  get ended(): boolean {
    return this.#decoder.ended;
  }

  /** Bytes of the archive so far. */
  get received(): number {
    return this.#received;
  }

  /** Where the next go is to begin. */
  get offset(): number {
    return this.#received - this.#tail.length;
  }

  /** A new go begins `before` bytes before `offset`. */
  begin(before: number): void {
    this.#skip = before;
    this.#expected = this.#tail;
  }

  /** Throws TarError, and CopyError `changed` when this is not the archive that was begun. */
  async write(whole: Buffer): Promise<void> {
    let chunk = whole;
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    chunk = chunk.subarray(skipped);
    const known = chunk.subarray(0, this.#expected.length);
    if (!known.equals(this.#expected.subarray(0, known.length))) {
      throw changedError();
    }
    this.#expected = this.#expected.subarray(known.length);
    chunk = chunk.subarray(known.length);
    if (chunk.length === 0) return;
    this.#received += chunk.length;
    this.#remember(chunk);
    if (this.ended) {
      this.#trailing += chunk.length;
      if (this.#trailing > maxTrailing) throw new TarError("tar archive is followed by something else");
      return;
    }
    for (const event of this.#decoder.push(chunk)) await this.#take(event);
    if (this.ended) this.#onEnd();
  }

  #remember(chunk: Buffer): void {
    const last = chunk.subarray(-overlapSize);
    const before = this.#tail.subarray(Math.max(0, this.#tail.length + last.length - overlapSize));
    this.#tail = before.length === 0 ? Buffer.from(last) : Buffer.concat([before, last]);
  }
}
