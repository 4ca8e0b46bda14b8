import { randomBytes } from "node:crypto";
import { Code, CRIError } from "../errors.ts";

/** Lifetime of a token, milliseconds. */
export const tokenTTL = 60_000;
/** Requests that may wait for their client at once. */
export const maxInFlight = 1000;

export interface RequestCacheOptions {
  /** The clock, milliseconds. */
  now?: () => number;
  newToken?: () => string;
}

/**
 * Hands out single-use tokens for prepared requests, so that a streaming URL carries a token and not the request.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/request_cache.go
 */
export class RequestCache<Request> {
  readonly #entries = new Map<string, { request: Request; expires: number }>();
  readonly #now: () => number;
  readonly #newToken: () => string;

  constructor({ now = Date.now, newToken = randomToken }: RequestCacheOptions = {}) {
    this.#now = now;
    this.#newToken = newToken;
  }

  /** Returns the token. Throws CRIError ResourceExhausted when 1000 requests wait. */
  insert(request: Request): string {
    this.#dropExpired();
    if (this.#entries.size >= maxInFlight) {
      throw new CRIError(Code.ResourceExhausted, "maximum number of in-flight requests exceeded");
    }
    let token = this.#newToken();
    while (this.#entries.has(token)) token = this.#newToken();
    this.#entries.set(token, { request, expires: this.#now() + tokenTTL });
    return token;
  }

  /** Takes the request out; undefined when the token is unknown, used or too old. */
  consume(token: string): Request | undefined {
    const entry = this.#entries.get(token);
    this.#entries.delete(token);
    return entry && entry.expires >= this.#now() ? entry.request : undefined;
  }

  /** How many wait. */
  get size(): number {
    this.#dropExpired();
    return this.#entries.size;
  }

  #dropExpired() {
    for (const [token, { expires }] of this.#entries) {
      if (expires >= this.#now()) return; // a Map keeps insertion order: the rest are younger
      this.#entries.delete(token);
    }
  }
}

/** Eight characters of base64url: 48 bits. */
function randomToken(): string {
  return randomBytes(6).toString("base64url");
}
