// Whether a peer is there that has been silent for long: asked on another connection than the silent one.
import { setTimeout as delay } from "node:timers/promises";

/** Milliseconds between two tries of a question of which the first came to nothing. */
const againMs = 1_000;

export interface QuestionOptions {
  /** Resolves when the peer has answered. It is called again, a second at most after it has failed, until the time is over. */
  ask(signal: AbortSignal): Promise<unknown>;
  timeoutMs: number;
  /** Whether `ask` is not to be called again after this failure: it is the reason then, at once. */
  isFinal?: ((error: unknown) => boolean) | undefined;
  /** Nobody wants to know any more. */
  signal?: AbortSignal | undefined;
}

interface Question {
  answer: Promise<Error | undefined>;
  /** How many wait for it. */
  waiting: number;
  stop: AbortController;
}

/** Questions that are under way. Those who ask the same at the same time get one answer. */
export class Questions {
  readonly #underWay = new Map<string, Question>();

  /**
   * Why nobody has answered within the time; undefined where somebody has, or once `signal` is aborted. A peer that refuses at first, because it starts again, or
   * whom we cannot ask at first, has all of its time. `what` is the question's name: who joins one that is under way gets its answer, and its time.
   */
  async unanswered(what: string, { signal, ...options }: QuestionOptions): Promise<Error | undefined> {
    if (signal?.aborted) return undefined;
    const key = `${options.timeoutMs} ${what}`;
    const question = this.#underWay.get(key) ?? this.#begin(key, options);
    question.waiting++;
    const gone = Promise.withResolvers<undefined>();
    const leave = () => gone.resolve(undefined);
    signal?.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([question.answer, gone.promise]);
    } finally {
      signal?.removeEventListener("abort", leave);
      if (--question.waiting === 0) this.#end(key, question);
    }
  }

  #begin(key: string, options: QuestionOptions): Question {
    const stop = new AbortController();
    const question = { answer: asked(options, stop.signal), waiting: 0, stop };
    this.#underWay.set(key, question);
    return question;
  }

  #end(key: string, question: Question) {
    question.stop.abort(new DOMException("nobody waits any more", "AbortError"));
    if (this.#underWay.get(key) === question) this.#underWay.delete(key);
  }
}

async function asked({ ask, timeoutMs, isFinal }: QuestionOptions, stopped: AbortSignal): Promise<Error | undefined> {
  const late = AbortSignal.timeout(timeoutMs);
  const ending = AbortSignal.any([stopped, late]);
  let why = new Error(`nothing within ${timeoutMs / 1000} s`);
  while (!ending.aborted) {
    try {
      await ask(ending);
      return undefined;
    } catch (error) {
      if (ending.aborted) break; // it was still waiting
      why = error instanceof Error ? error : new Error(String(error));
      if (isFinal?.(error)) break;
    }
    await delay(Math.min(againMs, timeoutMs / 4), undefined, { signal: ending }).catch(() => {}); // over: the loop ends
  }
  return why;
}
