import type { KubernetesObject } from "@hawser/api";
import { informer, type KubeClient } from "@hawser/client";
import { CommandError } from "../errors.ts";
import { type ObjectRef, refOf } from "./objects.ts";

export interface AwaitOptions<Result, T extends KubernetesObject> {
  target: ObjectRef;
  /** Called with the object as it is now, and as it becomes; with undefined when it is not there. A result ends the wait. */
  check: (object: T | undefined) => Result | undefined;
  /** 0 for no end. */
  timeoutMs: number;
  /** Failed lists and watches are tried again, but for these. */
  giveUp?: (error: unknown) => boolean;
  signal: AbortSignal;
}

/** The timeout of a wait that nothing more is said about. */
export class TimedOut extends CommandError {
  constructor(message = "timed out waiting for the condition") {
    super(message);
  }
}

/** Waits for one object to become what `check` looks for. Throws TimedOut, what `check` throws, and the signal's reason. */
export async function awaitObject<Result, T extends KubernetesObject = KubernetesObject>(
  client: KubeClient,
  { target, check, timeoutMs, giveUp = () => false, signal }: AwaitOptions<Result, T>,
): Promise<Result> {
  const found = Promise.withResolvers<Result>();
  const timer = timeoutMs > 0 ? setTimeout(() => found.reject(new TimedOut()), timeoutMs) : undefined;
  const onAbort = () => found.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const look = (object: T | undefined) => {
    try {
      const result = check(object);
      if (result !== undefined) found.resolve(result);
    } catch (error) {
      found.reject(error);
    }
  };
  try {
    signal.throwIfAborted();
    await using objects = informer<T>(client, refOf({ ...target, name: "" }), {
      selectors: { fieldSelector: `metadata.name=${target.name}` },
      onAdd: look,
      onUpdate: look,
      onDelete: () => look(undefined),
      onError: (error) => {
        if (giveUp(error)) found.reject(error);
      },
    });
    objects.synced.then(
      () => {
        if (objects.items.size === 0) look(undefined);
      },
      () => {}, // stopped before: the wait is over
    );
    return await found.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
