import { posix } from "node:path";

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

/** As an argument of tar that cannot be taken for an option. */
export function argument(path: string): string {
  return path.startsWith("-") ? `./${path}` : path;
}

/** `tar cf - -C DIR BASE` without its first words. */
export function sourceArguments({ directory, base }: RemotePath): string[] {
  return [...(directory === undefined ? [] : ["-C", argument(directory)]), argument(base)];
}
