import { close as closeCallback, constants, open as openCallback } from "node:fs";
import { stat } from "node:fs/promises";
import { Socket } from "node:net";
import { addAbortSignal } from "node:stream";
import { promisify } from "node:util";

const openDescriptor = promisify(openCallback);
const closeDescriptor = promisify(closeCallback);

/** Is this a pipe, by its name or through a link, such as the /dev/fd/63 that a shell makes of `<(…)`? Not touched by asking. */
export async function isPipe(file: string): Promise<boolean> {
  return (await stat(file)).isFIFO();
}

/**
 * The text that comes out of a pipe, to its end; what is read is gone. Throws the system's error, when nothing comes out of it,
 * when more than `maxBytes` do, and when there is no end within `timeoutMs`. A descriptor that the path names, but for the
 * standard ones, is closed then: who gave it to this process has no other use for it.
 */
export async function readPipe(
  file: string,
  { maxBytes, timeoutMs }: { maxBytes: number; timeoutMs: number },
): Promise<string> {
  const fd = await openDescriptor(file, constants.O_RDONLY | constants.O_NONBLOCK); // a writer who never comes is not waited for
  const late = AbortSignal.timeout(timeoutMs);
  const stream = addAbortSignal(late, new Socket({ fd, readable: true, writable: false }));
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw new Error(`larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (!late.aborted) throw cause;
    throw new Error(`is a pipe that has no end within ${timeoutMs / 1000} s`, { cause });
  } finally {
    stream.destroy();
  }
  if (size === 0) throw new Error("is a pipe, and nothing came out of it");
  const given = descriptorOf(file);
  if (given !== undefined && given > 2) await closeDescriptor(given);
  return Buffer.concat(chunks).toString("utf8");
}

/** The number of the descriptor that a path names, as that of `<(…)` does; undefined when it names none. */
export function descriptorOf(file: string): number | undefined {
  const [, , descriptor] = /^\/(dev|proc\/self)\/fd\/(\d+)$/.exec(file) ?? [];
  return descriptor === undefined ? undefined : Number(descriptor);
}
