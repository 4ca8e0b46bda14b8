import type { ContainerEventResponseSchema, ContainerEventType, MessageInitShape } from "@hawser/cri";
import { Code, CRIError } from "@hawser/cri";

export type ContainerEvent = MessageInitShape<typeof ContainerEventResponseSchema>;

/** Events one listener may be behind; a slower one is cut off and has to list anew. */
const maxBacklog = 1000;
/** Listeners at a time. */
const maxListeners = 100;

/** Tells every listener of GetContainerEvents what happens to sandboxes and containers. */
export class Events {
  readonly #describe: (id: string, type: ContainerEventType) => ContainerEvent | undefined;
  readonly #listeners = new Set<Backlog>();

  /** `describe` makes the event when somebody listens; undefined when the object is unknown. */
  constructor(describe: (id: string, type: ContainerEventType) => ContainerEvent | undefined) {
    this.#describe = describe;
  }

  emit(id: string, type: ContainerEventType): void {
    if (this.#listeners.size === 0) return;
    const event = this.#describe(id, type);
    if (event) for (const listener of this.#listeners) listener.push(event);
  }

  /** Events from now on, until `signal` fires. Throws ResourceExhausted for a listener too many or too slow. */
  async *listen(signal: AbortSignal): AsyncGenerator<ContainerEvent> {
    if (this.#listeners.size >= maxListeners) {
      throw new CRIError(Code.ResourceExhausted, `${maxListeners} clients listen to container events already`);
    }
    const backlog = new Backlog();
    const stop = () => backlog.wake();
    this.#listeners.add(backlog);
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (!signal.aborted) {
        const event = backlog.shift();
        if (event) yield event;
        else await backlog.more();
      }
    } finally {
      this.#listeners.delete(backlog);
      signal.removeEventListener("abort", stop);
    }
  }
}

class Backlog {
  readonly #events: ContainerEvent[] = [];
  #overflown = false;
  #waiting: (() => void) | undefined;

  push(event: ContainerEvent): void {
    if (this.#events.length >= maxBacklog) this.#overflown = true;
    else this.#events.push(event);
    this.wake();
  }

  shift(): ContainerEvent | undefined {
    const event = this.#events.shift();
    if (!event && this.#overflown) {
      throw new CRIError(
        Code.ResourceExhausted,
        `more than ${maxBacklog} container events behind: list, and listen anew`,
      );
    }
    return event;
  }

  more(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
