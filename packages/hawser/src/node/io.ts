import { once } from "node:events";

/** What the node's verbs use of their process. */
export interface NodeIO {
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream;
  env: NodeJS.ProcessEnv;
  /** Ends what runs; its reason is an Error. */
  signal: AbortSignal;
}

/** Resolves when there is room for more. Rejects with the signal's reason. */
export async function write(
  stream: NodeJS.WritableStream,
  text: string | Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  if (!stream.write(text)) await once(stream, "drain", { signal });
}

/** A command line that was not understood: exit code 2. */
export class MisuseError extends Error {
  override readonly name = "MisuseError";
}
