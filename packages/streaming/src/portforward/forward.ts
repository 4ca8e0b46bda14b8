import { type ByteDuplex, copy } from "../bytes.ts";

/**
 * Carries one connection both ways until both directions have ended; each end is passed on as a half-close. When one
 * direction fails, both sides are given up. Rejects with the first failure.
 */
export async function forward(left: ByteDuplex, right: ByteDuplex): Promise<void> {
  const giveUp = async (reason: unknown) => {
    await Promise.allSettled([left.sink.abort(reason), right.sink.abort(reason)]);
    throw reason;
  };
  const ways = [copy(left.source, right.sink), copy(right.source, left.sink)];
  await Promise.all(ways.map((way) => way.catch(giveUp)));
}
