import type { Readable } from "node:stream";
import { type KubernetesObject, StatusError } from "@hawser/api";
import { CommandError } from "../errors.ts";

/** Bytes of one file, or of stdin. */
const maxBytes = 64 * 1024 * 1024;
const extensions = [".json", ".yaml", ".yml"];

/** An object read from a file, with the members every object must have. */
export interface Manifest extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: NonNullable<KubernetesObject["metadata"]>;
}

/** What an API error says when the object came from a file: which, and what was tried. */
export function withSource(error: unknown, doing: string, manifest: Manifest): unknown {
  const source = sources.get(manifest);
  if (!(error instanceof StatusError) || !source) return error;
  const message = `error when ${doing} ${JSON.stringify(source)}: ${error.message}`;
  return new StatusError({ ...error.status, message }, { cause: error });
}

const sources = new WeakMap<Manifest, string>();
const ofLists = new WeakSet<Manifest>();

/** Whether an object that was read stood in a list, be it alone there: not every command takes one apart. */
export function isOfList(manifest: Manifest): boolean {
  return ofLists.has(manifest);
}

export interface ManifestSources {
  filenames: readonly string[];
  recursive: boolean;
  stdin: Readable;
}

/**
 * The objects in files, folders and (`-`) stdin, JSON or YAML, lists taken apart. Throws CommandError in kubectl's words;
 * URLs are refused.
 */
export async function readManifests({ filenames, recursive, stdin }: ManifestSources): Promise<Manifest[]> {
  const objects: Manifest[] = [];
  for (const filename of filenames) {
    if (/^https?:\/\//.test(filename)) throw new CommandError(`reading from a URL is not supported: ${filename}`);
    if (filename === "-") objects.push(...(await parse(await readAll(stdin), "STDIN")));
    else
      for (const file of await filesOf(filename, recursive)) objects.push(...(await parse(await readText(file), file)));
  }
  if (objects.length === 0 && filenames.length > 0) throw new CommandError("no objects passed");
  return objects;
}

async function filesOf(path: string, recursive: boolean): Promise<string[]> {
  const { readdir, stat } = await import("node:fs/promises");
  const { extname, join } = await import("node:path");
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") throw new CommandError(`the path ${JSON.stringify(path)} does not exist`, { cause });
    throw new CommandError(`the path ${JSON.stringify(path)} cannot be accessed: ${cause.message}`, { cause });
  });
  if (!info.isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) {
      if (recursive) found.push(...(await filesOf(inner, true).catch(emptyFolder)));
    } else if (extensions.includes(extname(entry.name))) found.push(inner);
  }
  if (found.length === 0) {
    throw new NoManifests(`error reading [${path}]: recognized file extensions are [${extensions.join(" ")}]`);
  }
  return found;
}

class NoManifests extends CommandError {}

function emptyFolder(error: unknown): string[] {
  if (error instanceof NoManifests) return [];
  throw error;
}

async function readText(file: string): Promise<string> {
  const { readFile, stat } = await import("node:fs/promises");
  const { size } = await stat(file);
  if (size > maxBytes)
    throw new CommandError(`error reading ${JSON.stringify(file)}: it has more than ${maxBytes} bytes`);
  return await readFile(file, "utf8");
}

async function readAll(stream: Readable): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > maxBytes) throw new CommandError(`error reading STDIN: it has more than ${maxBytes} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function parse(text: string, file: string): Promise<Manifest[]> {
  const values = text.trimStart().startsWith("{") ? [parseJSON(text, file)] : await parseYAML(text, file);
  return values.filter((value) => value !== null && value !== undefined).flatMap((value) => flatten(value, file));
}

function parseJSON(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CommandError(`error parsing ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

async function parseYAML(text: string, file: string): Promise<unknown[]> {
  const { parseAllDocuments } = await import("yaml");
  const documents = parseAllDocuments(text, { version: "1.1", prettyErrors: false });
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => {
    const [error] = document.errors;
    if (error) {
      const line = text.slice(0, error.pos[0]).split("\n").length;
      throw new CommandError(
        `error parsing ${file}: error converting YAML to JSON: yaml: line ${line}: ${error.message}`,
        { cause: error },
      );
    }
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  });
}

function flatten(value: unknown, file: string): Manifest[] {
  const { apiVersion, kind, metadata, items } = value as Partial<Manifest> & { items?: unknown }; // checked member by member
  if (typeof kind !== "string" || !kind) throw invalid(file, "Object 'Kind' is missing");
  if (typeof apiVersion !== "string" || !apiVersion) throw invalid(file, "Object 'apiVersion' is missing");
  if (kind.endsWith("List") && Array.isArray(items)) {
    const inner = items.flatMap((item: unknown) => flatten(item, file));
    for (const each of inner) ofLists.add(each);
    return inner;
  }
  const manifest: Manifest = { ...(value as object), apiVersion, kind, metadata: metadata ?? {} };
  sources.set(manifest, file);
  return [manifest];
}

function invalid(file: string, why: string): CommandError {
  return new CommandError(`error validating ${JSON.stringify(file)}: ${why}`);
}
