import { constants, open as openCallback } from "node:fs";
import { open } from "node:fs/promises";
import { Socket } from "node:net";
import { addAbortSignal } from "node:stream";
import { promisify } from "node:util";

const O_PATH = 0o10000000;
const openDescriptor = promisify(openCallback);

/** Is this a pipe, by its name or through a link, such as the /dev/fd/63 that a shell makes of `<(…)`? Not touched by asking. */
export async function isPipe(file: string): Promise<boolean> {
  await using place = await open(file, O_PATH);
  return (await place.stat()).isFIFO();
}

/**
 * The text that comes out of a pipe, to its end; what is read is gone. Throws the system's error, when more than `maxBytes` come,
 * and when there is no end within `timeoutMs`.
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
  return Buffer.concat(chunks).toString("utf8");
}
