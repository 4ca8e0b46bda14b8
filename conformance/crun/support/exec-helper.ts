// hawser-exec asked by hand: a request of one's own making to a porter.
import assert from "node:assert/strict";
import { Socket } from "node:net";
import path from "node:path";
import { closeQuietly } from "../../../packages/runtime/src/native/libc.ts";
import { openPipe, readable } from "../../../packages/runtime/src/native/pipe.ts";
import { openSocketPair } from "../../../packages/runtime/src/native/socket.ts";
import { openToken } from "../../../packages/runtime/src/native/token.ts";
import type { Porter } from "../../../packages/runtime/src/oci/exec-porter.ts";
import { textOf } from "./session.ts";

/** The helper that `make build` compiles. */
export const program = path.resolve(import.meta.dirname, `../../../packages/runtime/dist/hawser-exec-${process.arch}`);
export const never = new AbortController().signal;

/** Asks a porter by hand. Resolves with what the waiter said, and the command's stdout. */
export async function ask(
  porter: Porter,
  request: Buffer,
  stdin: number,
  withdrawn = false,
): Promise<{ said: string; stdout: string }> {
  const { ours, theirs } = openSocketPair("stream");
  const { read, write } = openPipe();
  using token = openToken();
  if (withdrawn) assert.ok(token.take());
  try {
    assert.ok(await porter.enter([stdin, write, write, theirs, token.fd], never));
  } finally {
    closeQuietly(theirs, write);
  }
  const control = new Socket({ fd: ours });
  control.end(request);
  const [said, stdout] = await Promise.all([control.toArray(), textOf(readable(read))]);
  return { said: Buffer.concat(said).toString("latin1"), stdout };
}

/** A request as it goes over the control socket, with the length that is claimed for it. */
export function framed(text: string, length = Buffer.byteLength(text)): Buffer {
  const request = Buffer.alloc(4 + Buffer.byteLength(text));
  request.writeUInt32LE(length, 0);
  request.write(text, 4);
  return request;
}

/** A request of these lines. */
export const fields = (...lines: string[]) => framed(lines.map((line) => `${line}\0`).join(""));
