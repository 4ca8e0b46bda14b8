import { type ByteDuplex, copy } from "../bytes.ts";
import { dialErrorText } from "../upgrade/dial-error.ts";

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

/** What a client is told of a connection that failed: `error forwarding port 80: dial tcp localhost:80: connect: connection refused`. */
export function failureText(port: number, cause: unknown): string {
  const why = dialErrorText(cause, `localhost:${port}`) ?? (cause instanceof Error ? cause.message : String(cause));
  return `error forwarding port ${port}: ${why}`;
}
