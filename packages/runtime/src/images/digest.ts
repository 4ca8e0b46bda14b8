import { createHash } from "node:crypto";
import type { ByteSource } from "@hawser/streaming";

/** `sha256:…` of some bytes. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The hexadecimal part, for file names. */
export function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** Passes bytes on, counting and hashing them. */
export class Digester {
  readonly #hash = createHash("sha256");
  size = 0;

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.size += chunk.length;
  }

  /** To be called once. */
  digest(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }

  async *through(source: ByteSource): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.update(chunk);
      yield chunk;
    }
  }
}

/**
 * The identities of an image's layers, each including those below it.
 *
 * Source: opencontainers/image-spec config.md, "Layer ChainID".
 */
export function chainIDs(diffIDs: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffID of diffIDs) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffID : digestOf(`${below} ${diffID}`));
  }
  return chain;
}
