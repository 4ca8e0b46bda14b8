import type { TerminalSize } from "./types.ts";

/** Bytes of one size; what is longer is none and is dropped. */
const maxSizeBytes = 1024;
/** Sizes that may wait for their reader; the oldest goes first. */
const maxSizes = 16;

/** One size as Go's encoder writes it. */
export function encodeSize({ width, height }: TerminalSize): Buffer {
  return Buffer.from(`${JSON.stringify({ Width: width, Height: height })}\n`);
}

/**
 * The sizes of a resize stream: JSON objects one after the other, however they are cut into chunks. A Receiver for a
 * SPDY stream, and an iteration of sizes. Names are read in any case (client-node writes lower); sizes below 1 are ignored, and
 * what is no size is passed over up to the next one, where Kubernetes reads no more.
 */
export class SizeReader implements AsyncIterable<TerminalSize> {
  #text = "";
  #sizes: TerminalSize[] = [];
  #ended = false;
  #waiting: PromiseWithResolvers<IteratorResult<TerminalSize, undefined>> | undefined;

  push(bytes: Uint8Array): boolean {
    this.#text += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    for (let end = this.#text.indexOf("}"); end >= 0; end = this.#text.indexOf("}")) {
      const whole = this.#text.slice(0, end + 1);
      const size = parseSize(whole.slice(Math.max(0, whole.lastIndexOf("{"))));
      this.#text = this.#text.slice(end + 1);
      if (size) this.#add(size);
    }
    if (this.#text.length > maxSizeBytes) this.#text = "";
    return true;
  }

  end(): void {
    this.#ended = true;
    this.#waiting?.resolve({ value: undefined, done: true });
    this.#waiting = undefined;
  }

  fail(): void {
    this.end();
  }

  [Symbol.asyncIterator](): AsyncIterator<TerminalSize, undefined> {
    return {
      next: () => {
        const value = this.#sizes.shift();
        if (value) return Promise.resolve({ value, done: false });
        if (this.#ended) return Promise.resolve({ value: undefined, done: true });
        this.#waiting ??= Promise.withResolvers();
        return this.#waiting.promise;
      },
    };
  }

  #add(size: TerminalSize) {
    if (this.#waiting) {
      this.#waiting.resolve({ value: size, done: false });
      this.#waiting = undefined;
      return;
    }
    this.#sizes.push(size);
    if (this.#sizes.length > maxSizes) this.#sizes.shift();
  }
}

function parseSize(text: string): TerminalSize | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const members = new Map(Object.entries(value).map(([name, number]) => [name.toLowerCase(), number]));
    const [width, height] = [members.get("width"), members.get("height")];
    return isSize(width) && isSize(height) ? { width, height } : undefined;
  } catch {
    return undefined;
  }
}

function isSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65535;
}
