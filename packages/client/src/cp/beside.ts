import { randomBytes } from "node:crypto";
import type { KubeClient } from "../client.ts";
import { argument } from "./paths.ts";
import { runRemote } from "./remote.ts";
import type { CopyToOptions } from "./types.ts";

/** Milliseconds to remove what an upload has left. */
export const tidyPatience = 2_000;

/**
 * A script's beginning: 127 where there is no tar in PATH, or none of this other program. busybox's shell may know a tar of its own though its image has
 * none, which is no reason to go without the runtime's holes.
 */
export function lookFor(program: string): string {
  return `command -v ${program} >/dev/null && (IFS=:; for p in $PATH; do test -x "$p/tar" && exit 0; done; exit 1) || exit 127`;
}

export const lookScript = lookFor("mv");

/**
 * Unpacks beside the place, and moves what was unpacked there when it is whole. A hang-up does not end it: with its client gone, tar comes to the end of what
 * there is, fails, and what it has made is removed. 127 where the container cannot move files.
 *
 * tar takes an input that is cut between two files for the whole archive: so a tree's last entry is an empty file that stands for its end.
 * Where its half is kept for a next try, that file stays: behind it, with the tree gone from here, everything is in place, though nobody may have heard it.
 * A directory that has come to stand there meanwhile is none to move into: an mv that knows no -T is looked after.
 */
const script = `trap '' HUP; ${lookScript}
d=$1 t=$2 n=$3 keep=$4 end=$5; shift 5
place() {
mv -fT "$d/$t" "$d/$n" 2>/dev/null && return
if test -d "$d/$n"; then echo "$d/$n: a directory is there now" >&2; return 1; fi
mv -f "$d/$t" "$d/$n" || return
if test -e "$d/$n/$t" || test -L "$d/$n/$t"; then mv "$d/$n/$t" "$d/$t"; echo "$d/$n: a directory is there now" >&2; return 1; fi
}
"$@" -C "$d"; code=$?
if test $code = 0 && test -n "$end" && test ! -e "$d/$end"; then echo "the archive has no end" >&2; code=2; fi
if test -n "$end" && test -z "$keep"; then rm -f "$d/$end"; fi
if test $code = 0; then place || code=$?; fi
if test $code != 0 && test -z "$keep"; then rm -rf "$d/$t"; fi
exit $code`;

/** 0 where nothing stands in a place, so that a whole tree can be moved there. 127 as above. */
export const vacantScript = `${lookScript}; test ! -e "$1" && test ! -L "$1"`;

/** 0 where a tree was moved to its place. For 5 s it waits for that: the tar of before may be at work. */
const placedScript = `i=0; while test -e "$1" && test $i -lt 5; do sleep 1; i=$((i+1)); done; test ! -e "$1" && test -e "$2"`;

/** Where a file, or a tree that is new, is on its way until it is whole. */
export interface Beside {
  /** Its name meanwhile. */
  name: string;
  /** The name of what stands for a tree's end. */
  end: string;
  /** The command for `tar`, without its `-C`. `keep`: half of a file is needed later. `isTree`: the archive has an end of its own. */
  command(tar: readonly string[], how: { keep: boolean; isTree: boolean }): string[];
  /** Whether the command has moved a tree that was kept for a next try to its place. */
  isPlaced(client: KubeClient, options: CopyToOptions): Promise<boolean>;
  /** Both names, with their directory. */
  paths: readonly string[];
}

/** `directory` and `base` are the container's: where it goes to in the end. */
export function besideOf({ directory, base }: { directory: string; base: string }): Beside {
  const name = `.hawser-cp-${randomBytes(6).toString("hex")}`;
  const place = argument(directory);
  const end = `${name}.end`;
  const paths = [`${place}/${name}`, `${place}/${end}`];
  return {
    name,
    end,
    paths,
    command(tar, { keep, isTree }) {
      return ["sh", "-c", script, "sh", place, name, base, keep ? "keep" : "", isTree ? end : "", ...tar];
    },
    async isPlaced(client, options) {
      const command = ["sh", "-c", placedScript, "sh", ...paths];
      return (await runRemote(client, options, command, {})).exitCode === 0;
    },
  };
}

/** Removes what commands that keep have left, where the container can be reached within 2 s. Resolves with whether it has said that nothing is left. */
export async function tidy(
  client: KubeClient,
  options: CopyToOptions,
  { besides, signal }: { besides: readonly Beside[]; signal?: AbortSignal | undefined },
): Promise<boolean> {
  const late = AbortSignal.timeout(tidyPatience);
  const ending = signal ? AbortSignal.any([signal, late]) : late;
  const command = ["rm", "-rf", ...besides.flatMap(({ paths }) => paths)];
  try {
    return (await runRemote(client, options, command, { signal: ending })).exitCode === 0;
  } catch {
    return false; // why does not matter: how the copy has ended is known already
  }
}
