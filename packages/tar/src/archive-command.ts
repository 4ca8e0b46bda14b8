import { posix } from "node:path";

/**
 * The command name that Hawser's runtime answers itself: it makes or reads an archive of the container's files, so that a container
 * needs no tar. It holds a slash, and so is never looked for in PATH; any other runtime says that it is not there.
 * docs/cp.md has its contract.
 */
export const archiveCommand = "hawser.dev/archive";

export type ArchiveRequest =
  /** An archive of `path` on stdout, without its first `offset` bytes. Its names begin with the last part of `path`. */
  | { verb: "create"; path: string; offset: number }
  /** The archive on stdin, whose tree has the name `name`, becomes `name` in the directory `path`; "." for the directory itself. */
  | { verb: "extract"; path: string; name: string; preserve: boolean }
  /** Exit code 0 where `path` is a directory, 1 where it is none. */
  | { verb: "is-directory"; path: string };

/** The command and arguments of a request. */
export function archiveCommandLine(request: ArchiveRequest): string[] {
  if (request.verb === "is-directory") return [archiveCommand, request.verb, request.path];
  if (request.verb === "create") return [archiveCommand, "create", `--offset=${request.offset}`, request.path];
  const { preserve, path, name } = request;
  return [archiveCommand, "extract", ...(preserve ? [] : ["--no-preserve"]), path, name];
}

/** The request that arguments (without the command itself) stand for; undefined when they stand for none. */
export function parseArchiveArguments(argv: readonly string[]): ArchiveRequest | undefined {
  const [verb, ...rest] = argv;
  if (verb === "create" && rest.length === 2) {
    const [option = "", path = ""] = rest;
    const offset = Number(/^--offset=(\d{1,15})$/.exec(option)?.[1]);
    return Number.isNaN(offset) || path === "" ? undefined : { verb, path, offset };
  }
  if (verb === "is-directory" && rest.length === 1) return { verb, path: rest[0] ?? "" };
  if (verb !== "extract") return undefined;
  const preserve = rest[0] !== "--no-preserve";
  const [path = "", name = "", ...more] = preserve ? rest : rest.slice(1);
  if (path === "" || name === "" || name === ".." || name.includes("/") || more.length > 0) return undefined;
  return { verb, path, name, preserve };
}

/** Where tar is to go, and what it is to take there. */
export interface RemotePath {
  /** For `tar -C`; undefined where tar is already. */
  directory: string | undefined;
  /** The last part: a name, or "." or "..". */
  base: string;
}

/** A path in a container, taken apart so that an archive's names begin with its last part. */
export function remotePath(path: string): RemotePath {
  const whole = posix.normalize(path).replace(/(?<=.)\/+$/, "");
  if (whole === "/") return { directory: "/", base: "." };
  if (/^(\.\.\/)*\.\.$/.test(whole)) return { directory: whole, base: "." };
  const directory = posix.dirname(whole);
  return { directory: directory === "." ? undefined : directory, base: posix.basename(whole) };
}
