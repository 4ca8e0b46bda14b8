/** Characters of an error stream that are kept. */
const maxLength = 16 * 1024;

/** Collects what a server says on the error stream of one connection. A Receiver for a SPDY stream. */
export class ErrorText {
  readonly #said = Promise.withResolvers<string | undefined>();
  readonly #decoder = new TextDecoder();
  #text = "";

  /** Resolves when the stream is over: with what was said, cut after 16 Ki characters; undefined for nothing. */
  get said(): Promise<string | undefined> {
    return this.#said.promise;
  }

  /** What was said so far. */
  get text(): string {
    return this.#text;
  }

  push(bytes: Uint8Array): boolean {
    if (this.#text.length < maxLength) {
      this.#text = (this.#text + this.#decoder.decode(bytes, { stream: true })).slice(0, maxLength);
    }
    return true;
  }

  end(): void {
    this.#said.resolve(this.#text || undefined);
  }

  fail(): void {
    this.end();
  }
}
