import type { RemotePath } from "@hawser/tar";

/** As an argument of tar that cannot be taken for an option. */
export function argument(path: string): string {
  return path.startsWith("-") ? `./${path}` : path;
}

/** `tar cf - -C DIR BASE` without its first words. */
export function sourceArguments({ directory, base }: RemotePath): string[] {
  return [...(directory === undefined ? [] : ["-C", argument(directory)]), argument(base)];
}
