// Answers that go on and may be quiet for long: a log that is followed, a watch. Whether their server is still there is asked on another connection.
import { StatusError } from "@hawser/api";
import { Questions } from "@hawser/streaming/presence";
import { ConnectionError } from "./connection-error.ts";

export interface QuietOptions {
  /**
   * Whose servers are asked. Of the answers of one client that are quiet at the same time, those with the same `peer` are asked about once, as long as
   * the question is granted: after a refusal, which need not come from the peer, each asks for itself.
   */
  client: object;
  peer: string;
  /** Milliseconds that the answer may be quiet until its server is asked whether it is there, and that this may take; 0 for never. */
  peerTimeoutMs: number;
  /** Something cheap that goes through the same hops. */
  ask(signal: AbortSignal, timeoutMs: number): Promise<unknown>;
  /** Whether a refusal below 500 shows that the servers are there. Each does, where this is absent. */
  isAnswer?: ((refusal: StatusError) => boolean) | undefined;
  signal?: AbortSignal | undefined;
}

const asked = new WeakMap<object, Questions>();

/**
 * The chunks of `open`'s body, as they come. Where none has come for the time, its server is asked; where that is not answered within as long again, the body
 * is given up. Throws ConnectionError `timeout` then, or what the body throws.
 */
export async function* askedWhenQuiet(
  open: (signal: AbortSignal | undefined) => Promise<AsyncIterable<Uint8Array>>,
  { client, peer, peerTimeoutMs, ask, isAnswer, signal }: QuietOptions,
): AsyncGenerator<Uint8Array> {
  if (!(peerTimeoutMs >= 0)) throw new RangeError(`peerTimeoutMs is ${peerTimeoutMs}: at least 0 is needed`);
  if (peerTimeoutMs === 0) return yield* await open(signal);
  const questions = asked.get(client) ?? new Questions();
  asked.set(client, questions);
  const own = new Questions();
  const over = new AbortController();
  const ending = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  /** Chunks so far; undefined while nobody waits for one. */
  let waitingFor: number | undefined;
  let chunks = 0;
  const unanswered = async () => {
    const options = { timeoutMs: peerTimeoutMs, signal: ending };
    const shared = (signal: AbortSignal) => ask(signal, peerTimeoutMs);
    const why = await questions.unanswered(peer, { ...options, ask: shared, isFinal: isRefusal });
    if (!isRefusal(why)) return why;
    const answered = async (signal: AbortSignal) => {
      try {
        await ask(signal, peerTimeoutMs);
      } catch (error) {
        if (!isRefusal(error) || isAnswer?.(error) === false) throw error;
      }
    };
    return await own.unanswered(peer, { ...options, ask: answered });
  };
  const look = async () => {
    const quietSince = waitingFor;
    const why = quietSince === undefined ? undefined : await unanswered();
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

function isRefusal(error: unknown): error is StatusError {
  return error instanceof StatusError && (error.code ?? 0) < 500;
}
