import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat } from "node:fs/promises";
import type { KubeClient } from "../client.ts";
import { argument } from "./paths.ts";
import { runRemote } from "./remote.ts";
import type { CopyToOptions } from "./types.ts";

/** A file below this is sent again as a whole, bytes. */
const worthwhile = 1024 * 1024;

const lookScript = 'wc -c <"$1" && sha256sum <"$1"';
const restScript = 'cat >>"$1" && sha256sum <"$1"';
const finishScript =
  'chmod "$2" "$1" && { test -z "$3" || { chown "$4" "$1" 2>/dev/null; chmod "$2" "$1"; touch -m -d "@$3" "$1"; }; }';

/** A file that is half there. */
export interface ResumedFile {
  local: string;
  remote: string;
  /** Of the whole, bytes. */
  size: number;
  /** Told how many of them are there. */
  onBytes(bytes: number): void;
}

/**
 * Sends the rest of a file that an upload has left half in the container, with its shell, cat and sha256sum. Resolves with whether
 * the whole file is there now, by its checksum; where it cannot be done, the file is to be sent again. Throws when the connection is lost.
 */
export async function resumeFile(
  client: KubeClient,
  options: CopyToOptions,
  { local, remote, size, onBytes }: ResumedFile,
): Promise<boolean> {
  if (size < worthwhile) return false;
  const { preserve = true } = options;
  const run = async (script: string, args: string[] = [], stdin?: AsyncIterable<Uint8Array>) => {
    const parts: Buffer[] = [];
    const stdout = async (chunk: Buffer) => {
      if (parts.length < 16) parts.push(Buffer.from(chunk.subarray(0, 256)));
    };
    const command = ["sh", "-c", script, "sh", argument(remote), ...args];
    const { exitCode } = await runRemote(client, options, command, { stdout, ...(stdin && { stdin }) });
    return exitCode === 0 ? Buffer.concat(parts).toString("latin1") : undefined;
  };
  const stat = await lstat(local).catch(() => undefined);
  const [, length, sum] = /^\s*(\d+)\s+([0-9a-f]{64})/.exec((await run(lookScript)) ?? "") ?? [];
  const there = Number(length);
  if (!stat?.isFile() || stat.size !== size || sum === undefined || there < worthwhile || there > size) return false;

  const hash = createHash("sha256");
  if (there > 0) for await (const chunk of createReadStream(local, { end: there - 1 })) hash.update(chunk as Buffer);
  if (hash.copy().digest("hex") !== sum) return false;
  const answer = await run(restScript, [], hashed(local, { start: there, hash, onBytes }));
  // The tar of before may still have written: then they differ.
  if (answer?.slice(0, 64) !== hash.digest("hex")) return false;
  const { mode, uid, gid, mtimeMs } = stat;
  const bits = (preserve ? mode & 0o7777 : mode & 0o755).toString(8);
  const seconds = preserve ? String(Math.floor(mtimeMs / 1000)) : "";
  return (await run(finishScript, [bits, seconds, `${uid}:${gid}`])) !== undefined;
}

async function* hashed(
  path: string,
  { start, hash, onBytes }: { start: number; hash: Hash; onBytes: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  let sent = start;
  for await (const chunk of createReadStream(path, { start, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    yield chunk;
    sent += chunk.length;
    onBytes(sent);
  }
}
