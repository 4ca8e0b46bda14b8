import { orAborted } from "./or-aborted.ts";

/**
 * Makes a function of `body` that runs once at a time: who calls while it is under way gets what it will give, which may have
 * been looked at before that call. A caller's signal ends its own waiting, and `body`, by a signal of its own, once nobody
 * waits for it any more.
 */
export function sharedCall<T>(body: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let underWay: { answer: Promise<T>; callers: number; stop: AbortController } | undefined;
  const begin = () => {
    const stop = new AbortController();
    const begun = { answer: body(stop.signal), callers: 0, stop };
    const over = () => {
      if (underWay === begun) underWay = undefined;
    };
    begun.answer.then(over, over); // a failure is for those who wait
    return begun;
  };
  return async (signal) => {
    signal.throwIfAborted();
    underWay ??= begin();
    const joined = underWay;
    joined.callers++;
    try {
      return await orAborted(joined.answer, signal);
    } finally {
      if (--joined.callers === 0) {
        if (underWay === joined) underWay = undefined;
        joined.stop.abort(signal.reason);
      }
    }
  };
}
