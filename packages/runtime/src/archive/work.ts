import { type ArchiveRequest, byteString, packTree, remotePath, TarDecoder, Unpacker } from "@hawser/tar";
import { directoryInRoot, rootedFiles } from "./rooted-files.ts";

export interface Surroundings {
  /** The container's root directory, open. */
  root: number;
  /** Where relative paths begin. */
  cwd: string;
  /** Reads what comes next of the input; empty at its end. */
  read(): Buffer;
  write(bytes: Buffer): void;
  warn(line: string): void;
}

/** What cannot be done as asked; its text is for people. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

/** Does what was asked. Resolves with the exit code. Throws ArchiveError, TarError and what the file calls throw. */
export async function runArchive(surroundings: Surroundings, request: ArchiveRequest): Promise<number> {
  if (request.verb === "create") await create(surroundings, request);
  else if (request.verb === "extract") await extract(surroundings, request);
  else return await isDirectory(surroundings, request.path);
  return 0;
}

async function isDirectory({ root, cwd }: Surroundings, path: string): Promise<number> {
  const directory = directoryInRoot(root, absolute(cwd, path));
  await directory?.close();
  return directory ? 0 : 1;
}

async function create(
  surroundings: Surroundings,
  { path, offset }: Extract<ArchiveRequest, { verb: "create" }>,
): Promise<void> {
  const { root, cwd, write, warn } = surroundings;
  const { directory = ".", base } = remotePath(path);
  const parent = directoryInRoot(root, absolute(cwd, directory));
  if (!parent) throw new ArchiveError(`${path}: no such file or directory`);
  const changed: string[] = [];
  let skip = offset;
  const name = byteString(base);
  const tree = packTree({
    files: rootedFiles,
    parent,
    name,
    as: name,
    sparse: true,
    onWarning: warn,
    onChanged: (what) => changed.push(what),
  });
  try {
    for await (const chunk of tree) {
      const skipped = Math.min(skip, chunk.length);
      skip -= skipped;
      if (skipped < chunk.length) write(chunk.subarray(skipped));
    }
  } finally {
    await parent.close();
  }
  if (changed.length > 0) throw new ArchiveError(`changed while they were read: ${changed.slice(0, 10).join(", ")}`);
}

async function extract(
  surroundings: Surroundings,
  { path, name, preserve }: Extract<ArchiveRequest, { verb: "extract" }>,
): Promise<void> {
  const { root, cwd, read, warn } = surroundings;
  const parent = directoryInRoot(root, absolute(cwd, path));
  if (!parent) throw new ArchiveError(`${path}: no such directory`);
  const unpacker = new Unpacker({
    files: rootedFiles,
    parent,
    name: byteString(name),
    root: byteString(name),
    preserve: { mode: preserve, times: preserve, owner: preserve, setId: true },
    anyLink: true,
    onWarning: warn,
  });
  const decoder = new TarDecoder();
  try {
    for (let chunk = read(); chunk.length > 0; chunk = read()) {
      for (const event of decoder.push(chunk)) await unpacker.take(event);
    }
    if (!decoder.ended) throw new ArchiveError("unexpected EOF in archive");
    await unpacker.finish();
  } catch (error) {
    await unpacker.abort();
    throw error;
  } finally {
    await parent.close();
  }
}

/** Not put in order: what ".." means where links are is the container's to say. */
function absolute(cwd: string, path: string): string {
  return path.startsWith("/") ? path : `${cwd}/${path}`;
}
