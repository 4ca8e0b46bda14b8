import { setTimeout as delay } from "node:timers/promises";
import { StatusError } from "@hawser/api";
import { StreamError, UpgradeError } from "@hawser/streaming";
import type { KubeClient } from "../client.ts";
import { ConnectionError } from "../connection-error.ts";
import type { Input } from "../input.ts";
import { exec } from "../remotecommand.ts";
import { CopyError, type CopyOptions, type CopyRetry } from "./types.ts";

/** What is kept of the words of a remote command, bytes. */
const maxWords = 64 * 1024;
/** Longest pause before the next try, milliseconds; the first is a fifth of a second. */
const maxPause = 5_000;

export interface RemoteStreams {
  stdin?: Input | undefined;
  stdout?: ((chunk: Buffer) => Promise<void>) | undefined;
  signal?: AbortSignal | undefined;
}

export interface RemoteResult {
  exitCode: number;
  /** The container has no such command, or cannot run it. */
  missing: boolean;
  /** What it wrote to stderr, line by line. */
  words: string[];
}

/** Runs a command in the container of a copy. A command that is not there is a result. Throws as `exec` does otherwise. */
export async function runRemote(
  client: KubeClient,
  options: CopyOptions,
  command: readonly string[],
  { stdin, stdout, signal = options.signal }: RemoteStreams,
): Promise<RemoteResult> {
  const { namespace, pod, container, transports, peerTimeoutMs } = options;
  const words: Buffer[] = [];
  let length = 0;
  const stderr = {
    async write(chunk: Uint8Array) {
      const kept = Buffer.from(chunk.subarray(0, maxWords - length));
      length += kept.length;
      if (kept.length > 0) words.push(kept);
    },
  };
  const output = { write: async (chunk: Uint8Array) => await stdout?.(bufferOf(chunk)) };
  const said = () =>
    Buffer.concat(words)
      .toString("utf8")
      .split("\n")
      .map((line) => line.trimEnd())
      .filter(Boolean);
  const request = {
    namespace,
    pod,
    container,
    command,
    stdin,
    stdout: output,
    stderr,
    signal,
    transports,
    peerTimeoutMs,
  };
  try {
    const { exitCode } = await exec(client, request);
    return { exitCode, missing: exitCode === 126 || exitCode === 127, words: said() };
  } catch (error) {
    if (error instanceof StatusError && isMissing(error.message)) {
      return { exitCode: 127, missing: true, words: [...said(), error.message] };
    }
    throw error;
  }
}

/** What containerd, CRI-O and their OCI runtimes say of a command that is not there: they know no exit code for it. */
function isMissing(message: string): boolean {
  return /executable file .*not found|no such file or directory|not found in \$PATH/i.test(message);
}

export function bufferOf(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

export function noTar({ pod, container }: CopyOptions): CopyError {
  const which = container
    ? `container ${JSON.stringify(container)} of pod ${JSON.stringify(pod)}`
    : `pod ${JSON.stringify(pod)}`;
  return new CopyError("no-tar", `${which} has no tar, and its node's runtime cannot copy without one`);
}

export function exitError(exitCode: number): CopyError {
  return new CopyError("exit", `command terminated with exit code ${exitCode}`, { exitCode });
}

export function changedError(): CopyError {
  const message = "the files changed while they were copied: the copy cannot go on where it broke off";
  return new CopyError("changed", message);
}

export function changedWhile(names: readonly string[]): CopyError {
  return new CopyError("changed", `changed while they were copied: ${names.slice(0, 10).join(", ")}`);
}

/** Whether the connection is to blame, so that another one may do better. */
function isLoss(error: unknown): boolean {
  if (error instanceof StreamError) return error.kind !== "protocol";
  if (error instanceof ConnectionError) return error.kind !== "tls";
  if (error instanceof CopyError) return error.code === "truncated";
  if (error instanceof UpgradeError) return error.statusCode >= 502;
  return error instanceof StatusError && ((error.status.code ?? 0) >= 502 || /dialing backend/.test(error.message));
}

/** Counts tries, and waits before each. */
export class Retries {
  readonly #options: CopyOptions;
  #attempt = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  get any(): boolean {
    return (this.#options.retries ?? 0) !== 0;
  }

  /** Resolves when it is time for the next try; throws `cause` when there is none. */
  async next(cause: unknown, offset: number): Promise<void> {
    const { retries = 0, signal, onRetry } = this.#options;
    signal?.throwIfAborted();
    if (!isLoss(cause) || (retries >= 0 && this.#attempt >= retries)) throw cause;
    const retry: CopyRetry = { attempt: ++this.#attempt, retries, offset, cause };
    onRetry?.(retry);
    const pause = Math.min(maxPause, 100 * 2 ** Math.min(retry.attempt, 10));
    await delay(pause, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
  }
}
