import { posix } from "node:path";
import { archiveCommandLine, type RemotePath, remotePath, TarError } from "@hawser/tar";
import type { KubeClient } from "../client.ts";
import { type Destination, openDestination, RootLink } from "./destination.ts";
import { sourceArguments } from "./paths.ts";
import { Reception } from "./reception.ts";
import { exitError, noTar, type RemoteResult, Retries, runRemote } from "./remote.ts";
import { CopyError, type CopyFromOptions, type CopyResult } from "./types.ts";

/** Links that are followed until what is copied is none. */
const maxLinks = 8;
/** Milliseconds tar has to end after its archive has. */
const endPatience = 30_000;

/** What GNU's tar, and our runtime, say of a file that shrank while they read it. (busybox's ends its archive there.) */
const shrunk = /: File shrank by \d+ bytes|changed while they were read: /;

/** After a loss: the rest of the same archive. tar's failure is the pipeline's, where the shell can tell. */
const restScript = '(set -o pipefail) 2>/dev/null && set -o pipefail; n=$1; shift; tar cf - "$@" | tail -c "+$n"';

/** See `copyFrom`. */
export async function download(client: KubeClient, options: CopyFromOptions): Promise<CopyResult> {
  let path = options.path;
  for (let links = 0; ; links++) {
    try {
      return await receive(client, options, path);
    } catch (error) {
      if (!(error instanceof RootLink)) throw error;
      if (links === maxLinks)
        throw new CopyError("kind", `${options.path} leads through too many links`, { cause: error });
      path = posix.join(error.target.startsWith("/") ? "/" : posix.dirname(posix.normalize(path)), error.target);
    }
  }
}

/** How the archive comes: from tar; from tar and tail, once a part of it is here; from the runtime. */
type Way = "tar" | "tar-whole" | "runtime";

async function receive(client: KubeClient, options: CopyFromOptions, path: string): Promise<CopyResult> {
  const source = remotePath(path);
  const destination = await openDestination({ ...options, base: source.base });
  using end = stopwatch(options.signal);
  const reception = new Reception({ take: (event) => destination.take(event), onEnd: end.start });
  const retries = new Retries(options);
  let way: Way = "tar";
  try {
    for (;;) {
      try {
        const { command, before } = commandOf(way, source, { path, offset: reception.offset });
        reception.begin(before);
        end.stop();
        const stdout = (chunk: Buffer) => reception.write(chunk);
        const result = await runRemote(client, options, command, { stdout, signal: end.signal });
        end.stop();
        const next: Way | undefined = result.missing ? nextWay(way, reception.offset) : undefined;
        if (next) {
          way = next;
          continue;
        }
        if (result.missing && reception.received === 0) throw noTar(options);
        return await conclude(options, { destination, reception, result });
      } catch (error) {
        await retries.next(error, reception.offset);
      }
    }
  } catch (error) {
    await destination.abort();
    if (error instanceof TarError) throw new CopyError("corrupt", error.message, { cause: error });
    throw error;
  }
}

function commandOf(way: Way, source: RemotePath, { path, offset }: { path: string; offset: number }) {
  if (way === "runtime") return { command: archiveCommandLine({ verb: "create", path, offset }), before: 0 };
  const plain = ["tar", "cf", "-", ...sourceArguments(source)];
  if (offset === 0 || way === "tar-whole") return { command: plain, before: offset };
  return { command: ["sh", "-c", restScript, "sh", String(offset + 1), ...sourceArguments(source)], before: 0 };
}

/** What to try when a command is not there: without a shell, the whole archive once more; without tar, the runtime. */
function nextWay(way: Way, offset: number): Way | undefined {
  if (way === "tar") return offset > 0 ? "tar-whole" : "runtime";
  return undefined;
}

async function conclude(
  { onWarning }: CopyFromOptions,
  { destination, reception, result }: { destination: Destination; reception: Reception; result: RemoteResult },
): Promise<CopyResult> {
  for (const line of result.words) onWarning?.(line);
  // A tar that failed may have packed most of it: that is kept, and the failure told. One file that has zeros for what went away meanwhile is not.
  if (result.exitCode !== 0) {
    const hasZeros = destination.isOneFile && result.words.some((line) => shrunk.test(line));
    if (reception.ended && reception.received > 0 && !hasZeros) await destination.finish().catch(ignoreEmpty);
    throw exitError(result.exitCode);
  }
  if (!reception.ended) throw new CopyError("truncated", "the archive was cut short: unexpected EOF");
  return await destination.finish();
}

function ignoreEmpty(error: unknown): void {
  if (!(error instanceof CopyError)) throw error;
}

/** A signal that is aborted with the caller's, or when the time after `start` is up. */
function stopwatch(outer: AbortSignal | undefined): Disposable & { signal: AbortSignal; start(): void; stop(): void } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const stop = () => clearTimeout(timer);
  return {
    signal: outer ? AbortSignal.any([outer, late.signal]) : late.signal,
    start() {
      const error = new CopyError("stuck", `tar has not ended ${endPatience / 1000} s after its archive's end`);
      timer = setTimeout(() => late.abort(error), endPatience);
    },
    stop,
    [Symbol.dispose]: stop,
  };
}
