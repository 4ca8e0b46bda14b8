import type { UpgradeKind } from "@hawser/streaming";
import type { Input } from "../input.ts";
import type { Output } from "../output.ts";

/** Which container, and how a copy goes. */
export interface CopyOptions {
  namespace: string;
  pod: string;
  /** Default: the only container of the pod; the server refuses to choose among several. */
  container?: string | undefined;
  /** Permissions, modification times, and, where the one who writes is root, owners. Default true. */
  preserve?: boolean | undefined;
  /** How often a connection that was lost is tried again, going on where it was lost. Default 0; negative for without end. */
  retries?: number | undefined;
  onProgress?: ((progress: CopyProgress) => void) | undefined;
  /** What was left out, and what tar had to say. One line each. */
  onWarning?: ((line: string) => void) | undefined;
  onRetry?: ((retry: CopyRetry) => void) | undefined;
  /**
   * Aborting ends the copy; the promise rejects with its reason. Files that are whole stay; the one under way is removed, and of a new tree that the
   * container's tar unpacks, all of it.
   */
  signal?: AbortSignal | undefined;
  /** Default both, WebSocket first. */
  transports?: readonly UpgradeKind[] | undefined;
  /** As for `exec`. */
  peerTimeoutMs?: number | undefined;
}

export interface CopyFromOptions extends CopyOptions {
  /** In the container: a file or a directory; relative to its working directory. */
  path: string;
  /** A path, which a file takes the place of, or goes into where it is a directory; a stream gets one file's content. */
  to: string | Output;
}

export interface CopyToOptions extends CopyOptions {
  /** A file or directory; or the content of one file. */
  from: string | CopyContent;
  /** In the container. Where it is a directory, what is copied goes into it. */
  path: string;
}

/** One file that need not be one here. */
export interface CopyContent {
  content: Input;
  /** Bytes; tar has to know before. */
  size: number;
  /** Its name where the destination is a directory. */
  name: string;
  /** Default 0644. */
  mode?: number | undefined;
  /** Seconds since 1970. Default now. */
  mtime?: number | undefined;
}

export interface CopyProgress {
  /** Of content, so far. */
  bytes: number;
  /** Of content in all, where it is known: of uploads, and of a single file's download. */
  total?: number | undefined;
  /** The file under way. */
  name: string;
}

export interface CopyRetry {
  /** The first is 1. */
  attempt: number;
  /** How many there may be; negative for any number. */
  retries: number;
  /** Bytes of the archive that need not be sent again. */
  offset: number;
  cause: unknown;
}

export interface CopyResult {
  files: number;
  directories: number;
  links: number;
  /** Left out, each with a warning. */
  skipped: number;
  /** Of content. */
  bytes: number;
}

/**
 * `no-tar`: neither has the container a tar nor can its runtime do without; `not-found`: there is no such local file;
 * `exit`: tar has failed, and `exitCode` and the warnings say how; `truncated`: the archive ended before its end;
 * `corrupt`: the archive is malformed, or no honest archive of what was asked for; `changed`: files changed meanwhile; `stuck`: tar does
 * not end, or the container does not say what is there; `kind`: a directory where only one file's content was asked for, content of
 * another size than was said, or a device, pipe or socket alone.
 */
export type CopyErrorCode = "no-tar" | "not-found" | "exit" | "truncated" | "corrupt" | "changed" | "stuck" | "kind";

/** A copy that failed by itself, not by its connection. */
export class CopyError extends Error {
  override readonly name = "CopyError";
  readonly code: CopyErrorCode;
  /** With `exit`: tar's, 1 to 255. */
  readonly exitCode: number | undefined;

  constructor(code: CopyErrorCode, message: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.exitCode = options.exitCode;
  }
}

/** What was asked for is itself what in a tree is left out with a warning. */
export function specialFile(path: string): CopyError {
  return new CopyError("kind", `${path} is a special file: nothing was copied`);
}
