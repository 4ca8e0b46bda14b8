import { setTimeout as delay } from "node:timers/promises";

/**
 * Looks again and again until `look` gives a value that is neither undefined nor false, and resolves with it. For
 * what announces nothing: a line of `ss`, a process that should go. Throws after `timeoutMs`, by default 30 s, which a
 * machine with other work may need for what takes a moment, with the last error.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 30_000, everyMs = 25 } = {},
): Promise<T> {
  let last: unknown;
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await delay(everyMs)) {
    try {
      const value = await look();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (err) {
      last = err;
    }
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
}
