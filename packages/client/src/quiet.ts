// Answers that go on and may be quiet for long: a log that is followed, a watch. Whether their server is still there is asked on another connection.
import { StatusError } from "@hawser/api";
import { Questions } from "@hawser/streaming/presence";
import { ConnectionError } from "./connection-error.ts";

export interface QuietOptions {
  /** Whose servers are asked. Of the answers of one client that are quiet at the same time, those with the same `peer` are asked about once. */
  client: object;
  peer: string;
  /** Milliseconds that the answer may be quiet until its server is asked whether it is there, and that this may take; 0 for never. */
  peerTimeoutMs: number;
  /** Something cheap that goes through the same hops. Any answer below 500 will do. */
  ask(signal: AbortSignal, timeoutMs: number): Promise<unknown>;
  signal?: AbortSignal | undefined;
}

const asked = new WeakMap<object, Questions>();

/**
 * The chunks of `open`'s body, as they come. Where none has come for the time, its server is asked; where that is not answered within as long again, the body
 * is given up. Throws ConnectionError `timeout` then, or what the body throws.
 */
export async function* askedWhenQuiet(
  open: (signal: AbortSignal | undefined) => Promise<AsyncIterable<Uint8Array>>,
  { client, peer, peerTimeoutMs, ask, signal }: QuietOptions,
): AsyncGenerator<Uint8Array> {
  if (!(peerTimeoutMs >= 0)) throw new RangeError(`peerTimeoutMs is ${peerTimeoutMs}: at least 0 is needed`);
  if (peerTimeoutMs === 0) return yield* await open(signal);
  const questions = asked.get(client) ?? new Questions();
  asked.set(client, questions);
  const answered = async (signal: AbortSignal) => {
    try {
      await ask(signal, peerTimeoutMs);
    } catch (error) {
      if (!(error instanceof StatusError) || (error.code ?? 0) >= 500) throw error;
    }
  };
  const over = new AbortController();
  const ending = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  /** Chunks so far; undefined while nobody waits for one. */
  let waitingFor: number | undefined;
  let chunks = 0;
  const look = async () => {
    const quietSince = waitingFor;
    const why =
      quietSince === undefined
        ? undefined
        : await questions.unanswered(peer, { ask: answered, timeoutMs: peerTimeoutMs, signal: ending });
    if (ending.aborted) return;
    if (why === undefined || waitingFor !== quietSince) return void timer.refresh();
    const seconds = peerTimeoutMs / 1000;
    const message = `nothing came for ${seconds} s, and for as long again no answer to whether the server is there: ${why.message}`;
    over.abort(new ConnectionError(message, { kind: "timeout", unsent: false, cause: why }));
  };
  const timer = setTimeout(() => void look(), peerTimeoutMs);
  timer.unref();
  let source: AsyncIterator<Uint8Array> | undefined;
  try {
    source = (await open(ending))[Symbol.asyncIterator]();
    for (;;) {
      waitingFor = chunks;
      timer.refresh();
      const { value, done } = await source.next();
      waitingFor = undefined;
      if (done) return;
      chunks++;
      yield value;
    }
  } catch (error) {
    throw over.signal.aborted && !signal?.aborted ? over.signal.reason : error;
  } finally {
    clearTimeout(timer);
    over.abort(new DOMException("nobody waits any more", "AbortError")); // of a question under way
    await source?.return?.();
  }
}
