// What an answer holds behind its head.
import type { IncomingMessage } from "node:http";
import { connectionError } from "./connection-error.ts";

/** A body as it comes. Leaving its loop closes the connection. Throws ConnectionError, also where it is cut short, and what an abort throws. */
export async function* bodyOf(message: IncomingMessage, server: URL): AsyncGenerator<Uint8Array> {
  try {
    yield* message as AsyncIterable<Uint8Array>;
    if (!message.complete) throw Object.assign(new Error("the answer was cut short"), { code: "ECONNRESET" });
  } catch (error) {
    throw isAbort(error) || !isSystemError(error) ? error : connectionError(error, server);
  } finally {
    message.destroy(); // nothing is left of the connection when the reader leaves early
  }
}

/** A body as text. Throws RangeError where it is longer, or leaves the rest away with `cut`. */
export async function readText(message: IncomingMessage, maxBytes: number, { cut = false } = {}): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    length += chunk.length;
    parts.push(chunk);
    if (length <= maxBytes) continue;
    if (!cut) throw new RangeError(`the server's answer has more than ${maxBytes} bytes`);
    break;
  }
  const [only] = parts;
  const text = parts.length === 1 && only ? only.toString("utf8") : Buffer.concat(parts).toString("utf8");
  return cut ? text.slice(0, maxBytes) : text;
}

/** Throws SyntaxError with the text's beginning. */
export function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw notJSON(text, cause);
  }
}

export function notJSON(text: string, cause?: unknown): Error {
  return new SyntaxError(`the server's answer is not JSON: ${JSON.stringify(text.slice(0, 80))}`, { cause });
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

/** An error of the system, or of node, by its code. */
export function isSystemError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
