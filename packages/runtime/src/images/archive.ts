import { open, readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import type { ByteSource } from "@hawser/streaming";
import { TarDecoder } from "@hawser/tar";
import { decompress } from "./compression.ts";
import { Digester } from "./digest.ts";
import { temporaryDirectory } from "./disk.ts";
import { checkLength } from "./layer-paths.ts";

/** Most files in an image archive: `docker save` of many images has three per layer. */
const maxFiles = 20_000;

/** A file of an image archive, spooled to disk. */
export interface SpooledFile {
  path: string;
  size: number;
  digest: string;
}

/** An image archive on disk: its files by the name they have in it. */
export interface Spool extends AsyncDisposable {
  find(name: string): SpooledFile | undefined;
  /** A small file's content. Throws when it is not there, or larger than `limit` bytes. */
  read(name: string, limit: number): Promise<Buffer>;
}

/**
 * Writes an archive's files to disk under numbers, each with its digest; the names in the archive never become paths.
 * The archive may be in gzip or zstd. Links (older `docker save` has them for shared layers) are followed by `find`.
 * Throws TarError, LayerError for a name too long, or the signal's reason; nothing is left then.
 */
export async function spoolArchive(
  { temporary }: { temporary: string },
  archive: ByteSource,
  signal: AbortSignal,
): Promise<Spool> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory(temporary));
  const files = new Map<string, SpooledFile>();
  const links = new Map<string, string>();
  const decoder = new TarDecoder();
  let current: { name: string; file: Awaited<ReturnType<typeof open>>; path: string; digester: Digester } | undefined;

  const finish = async () => {
    if (!current) return;
    await current.file.close();
    files.set(current.name, { path: current.path, size: current.digester.size, digest: current.digester.digest() });
    current = undefined;
  };
  try {
    for await (const chunk of decompress(archive)) {
      signal.throwIfAborted();
      for (const event of decoder.push(chunk)) {
        if (event.type === "data") {
          if (!current) continue;
          current.digester.update(event.bytes);
          await writeAll(current.file, event.bytes);
          continue;
        }
        await finish();
        const { type, name, linkname } = event.entry.header;
        checkLength(name, linkname);
        const key = clean(name);
        if (files.size + links.size >= maxFiles) throw new Error(`image archive has more than ${maxFiles} files`);
        if (type === "1") links.set(key, clean(linkname));
        if (type === "2") links.set(key, clean(posix.join(posix.dirname(key), linkname)));
        if (type !== "0") continue;
        const path = join(directory.path, String(files.size));
        current = { name: key, path, file: await open(path, "wx", 0o600), digester: new Digester() };
      }
    }
    decoder.finish();
    await finish();
  } finally {
    await current?.file.close().catch(() => undefined);
  }

  const find = (name: string): SpooledFile | undefined => {
    let key = clean(name);
    for (let hops = 0; hops < 8; hops++) {
      const file = files.get(key);
      const target = links.get(key);
      if (file || target === undefined) return file;
      key = target;
    }
    return undefined;
  };
  const kept = stack.move();
  return {
    find,
    async read(name, limit) {
      const file = find(name);
      if (!file) throw new Error(`image archive has no "${name}"`);
      if (file.size > limit) throw new Error(`"${name}" in the image archive is larger than ${limit} bytes`);
      return await readFile(file.path);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

/** `./a//b/` is `a/b`. Names only serve to find files by: nothing leads anywhere. */
function clean(name: string): string {
  return posix.normalize(`/${name}`).replace(/^\/|\/$/g, "");
}
