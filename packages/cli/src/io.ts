import type { Readable, Writable } from "node:stream";
import type { TerminalSize } from "@hawser/streaming";

/** Input that may be a terminal. process.stdin is one. */
export type InputStream = Readable & { isTTY?: boolean; setRawMode?(raw: boolean): unknown };
/** Output that may be a terminal. process.stdout is one. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** What a command reads, writes and knows of its surroundings. */
export interface IO {
  stdin: InputStream;
  stdout: OutputStream;
  stderr: OutputStream;
  env: NodeJS.ProcessEnv;
  /**
   * Stops the terminal from changing what is written to it, which Node's raw mode leaves on: it would add a
   * carriage return to each newline of the remote terminal. Undone by leaving raw mode.
   */
  passOutput?(): Promise<void>;
  /** Calls `listener` each time this process goes on after it was stopped. Returns what ends that. */
  onContinue?(listener: () => void): () => void;
}

export type { TerminalSize };

/** Writes, and waits for room when there is none. Throws the stream's error, also when it has failed or was closed before. */
export async function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  if (text.length === 0) return;
  if (stream.destroyed) throw stream.errored ?? new Error("the output was closed"); // it would emit nothing any more
  if (stream.write(text)) return;
  await new Promise<void>((resolve, reject) => {
    const onDrain = () => done();
    const onError = (error: Error) => done(error);
    const onClose = () => done(new Error("the output was closed"));
    const done = (error?: Error) => {
      stream.off("drain", onDrain).off("error", onError).off("close", onClose);
      if (error) reject(error);
      else resolve();
    };
    stream.on("drain", onDrain).on("error", onError).on("close", onClose);
  });
}
