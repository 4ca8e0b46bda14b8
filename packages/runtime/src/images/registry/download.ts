import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Arrival } from "../arrival.ts";
import { Digester } from "../digest.ts";
import { release } from "../lent.ts";
import type { Descriptor } from "../manifest.ts";
import { commitError, NotFoundError, type Repository } from "./client.ts";
import { AuthorizationError, CorruptContentError, StatusCodeError } from "./errors.ts";

/** How often a download is tried in a row without getting further before it fails. */
const maxAttempts = 4;
/** What counts as getting further, bytes. Source: containerd's httpReadSeeker, which takes any progress for some. */
const leastProgress = 4096;
/** Pauses between the attempts, milliseconds. */
const pauses = [250, 1000, 3000];

/** The file does not take what has come. It is counted in, so that nothing can go on behind it. */
class FileError extends Error {
  override readonly name = "FileError";
}

/**
 * Downloads a blob to a new file, checking size and digest on the way; a broken download goes on where it broke.
 * Throws CorruptContentError for other content than asked for, the last attempt's error, or the signal's reason.
 */
export async function downloadBlob(
  { repository, arrival, kind }: { repository: Repository; arrival: Arrival; kind: "config" | "layer" },
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(arrival.path, "wx", 0o600);
  try {
    let digester = new Digester();
    for (let attempt = 1; ; attempt++) {
      const before = digester.size;
      try {
        const response = await repository.blob(descriptor, digester.size, signal);
        if (digester.size > 0 && !resumes(response.headers["content-range"], response.status, digester.size)) {
          arrival.break();
          await file.truncate(0);
          digester = new Digester();
        }
        await take({ file, arrival, digester }, response.body, { ...descriptor, kind });
        break;
      } catch (error) {
        signal.throwIfAborted();
        if (digester.size - before >= leastProgress) attempt = 1;
        if (attempt === maxAttempts || !mayPass(error)) throw error;
        await pause(pauses[attempt - 1] ?? 1000, undefined, { signal });
      }
    }
    const { size } = digester;
    const digest = digester.digest();
    if (digest !== descriptor.digest || size !== descriptor.size) {
      throw new CorruptContentError(commitError(kind, descriptor.digest, digest));
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    await file.close();
  }
}

async function take(
  { file, arrival, digester }: { file: FileHandle; arrival: Arrival; digester: Digester },
  body: AsyncIterable<Buffer>,
  { kind, digest, size }: Pick<Descriptor, "digest" | "size"> & { kind: "config" | "layer" },
) {
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const chunk of body) {
      const at = digester.size;
      digester.update(chunk);
      if (digester.size > size) {
        throw new CorruptContentError(
          `failed commit on ref "${kind}-${digest}": unexpected commit size more than ${size}, expected ${size}: failed precondition`,
        );
      }
      const end = digester.size;
      await writing; // while one chunk is written, the next comes and is counted in
      writing = writeAll(file, chunk, at).then(() => {
        arrival.grown(end);
        release(chunk);
      });
      writing.catch(() => undefined); // it is awaited in any case
    }
  } finally {
    await writing;
  }
  if (digester.size < size) throw new Error(`blob ${digest} ended early: unexpected EOF`);
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    }
  } catch (cause) {
    throw new FileError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function resumes(range: string | undefined, status: number, offset: number): boolean {
  return status === 206 && range !== undefined && range.startsWith(`bytes ${offset}-`);
}

/** Could the same request succeed in a moment? */
function mayPass(error: unknown): boolean {
  if (error instanceof StatusCodeError) return error.status === 408 || error.status === 429 || error.status >= 500;
  return !(
    error instanceof NotFoundError ||
    error instanceof AuthorizationError ||
    error instanceof CorruptContentError ||
    error instanceof FileError
  );
}
