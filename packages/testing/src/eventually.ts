import { setTimeout as delay } from "node:timers/promises";

type Nothing = undefined | null | false;
type Look<T> = () => Promise<T | Nothing> | T | Nothing;

interface Limits {
  timeoutMs?: number;
  everyMs?: number;
}

/**
 * Looks again and again until `look` gives a value that is not undefined, null or false, and resolves with it. For
 * what announces nothing: a line of `ss`, a process that should go. Throws after `timeoutMs`, by default 30 s, which a
 * machine with other work may need for what takes a moment, with the last error; without a word for it, by its code.
 */
export function eventually<T>(what: string, look: Look<T>, limits?: Limits): Promise<T>;
export function eventually<T>(look: Look<T>, limits?: Limits): Promise<T>;
export async function eventually<T>(first: string | Look<T>, second?: Look<T> | Limits, third?: Limits): Promise<T> {
  const isNamed = typeof first === "string";
  const [look, limits] = isNamed ? [second, third] : [first, second];
  if (typeof look !== "function") throw new TypeError("eventually: there is nothing to look with");
  const { timeoutMs = 30_000, everyMs = 25 } = typeof limits === "object" ? limits : {};
  let last: unknown;
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await delay(everyMs)) {
    try {
      const value = await look();
      if (value !== undefined && value !== null && value !== false) return value;
      last = undefined;
    } catch (err) {
      last = err;
    }
  }
  throw new Error(`not within ${timeoutMs} ms: ${first}`, { cause: last });
}
