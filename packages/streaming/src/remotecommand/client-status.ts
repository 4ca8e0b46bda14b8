import type { Status } from "@hawser/api";
import { StreamError, wordsOf } from "../errors.ts";
import type { Receiver } from "../spdy/stream.ts";
import { brokenOffReason } from "./broken-off.ts";
import type { StatusReader } from "./status.ts";

/** Milliseconds that a server may take for what was sent to it, once its session is over or given up: the input it left unread. */
export const givenUpMs = 1000;

/** A receiver that passes all on, and the news of how it ended. */
export interface Tracked {
  receiver: Receiver;
  /** Resolves with the error the stream ended with, or with nothing for an orderly end. */
  ended: Promise<{ error?: unknown }>;
}

export function track(inner: Receiver): Tracked {
  const { promise, resolve } = Promise.withResolvers<{ error?: unknown }>();
  const receiver: Receiver = {
    push: (bytes) => inner.push(bytes),
    end() {
      inner.end();
      resolve({});
    },
    fail(error) {
      inner.fail(error);
      resolve({ error });
    },
  };
  return { receiver, ended: promise };
}

/**
 * The Status of a session, once the error stream and every output have ended. Success is only what was confirmed:
 * an output that was cut makes a Status worthless. A hop's Status about the loss of the next one is a loss.
 */
export async function sessionStatus(
  reader: StatusReader,
  ended: Promise<void>,
  outputs: readonly Tracked[],
): Promise<Status> {
  const ends = await Promise.all(outputs.map((output) => output.ended));
  await ended;
  const status = reader.read();
  const why = brokenOffReason(status);
  if (why !== undefined) throw new StreamError("lost", why);
  for (const { error } of ends) {
    if (!error) continue;
    throw new StreamError("truncated", (peer) => `an output was cut: ${wordsOf(error, peer)}`, { cause: error });
  }
  return status;
}
