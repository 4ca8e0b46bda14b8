import { randomBytes } from "node:crypto";
import type { KubeClient } from "../client.ts";
import { argument } from "./paths.ts";
import { runRemote } from "./remote.ts";
import type { CopyToOptions } from "./types.ts";

/** Milliseconds to remove what an upload that failed has left. */
const tidyPatience = 2_000;

/**
 * 127 where there is no tar in PATH, or no mv. busybox's shell may know a tar of its own though its image has none, which is no reason to go
 * without the runtime's holes.
 */
export const lookScript = `command -v mv >/dev/null && (IFS=:; for p in $PATH; do test -x "$p/tar" && exit 0; done; exit 1) || exit 127`;

/**
 * Unpacks beside the place, and moves what was unpacked there when it is whole. A hang-up does not end it: with its client gone, tar comes to the end of what
 * there is, fails, and what it has made is removed. 127 where the container cannot move files.
 *
 * tar takes an input that is cut between two files for the whole archive: so a tree's last entry is an empty file that stands for its end.
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
if test $code = 0 && test -n "$end"; then rm "$d/$end" 2>/dev/null || { echo "the archive has no end" >&2; code=2; }; fi
if test $code = 0; then place || code=$?; fi
if test $code != 0 && test -z "$keep"; then rm -rf "$d/$t" "$d/$t.end"; fi
exit $code`;

/** 0 where nothing stands in a place, so that a whole tree can be moved there. 127 as above. */
export const vacantScript = `${lookScript}; test ! -e "$1" && test ! -L "$1"`;

/** Where a file, or a tree that is new, is on its way until it is whole. */
export interface Beside {
  /** Its name meanwhile. */
  name: string;
  /** The name of what stands for a tree's end. */
  end: string;
  /** The command for `tar`, without its `-C`. `keep`: half of a file is needed later. `isTree`: the archive has an end of its own. */
  command(tar: readonly string[], how: { keep: boolean; isTree: boolean }): string[];
  /** Removes it, where the container can be reached within 2 s. */
  tidy(client: KubeClient, options: CopyToOptions): Promise<void>;
}

/** `directory` and `base` are the container's: where it goes to in the end. */
export function besideOf({ directory, base }: { directory: string; base: string }): Beside {
  const name = `.hawser-cp-${randomBytes(6).toString("hex")}`;
  const place = argument(directory);
  const end = `${name}.end`;
  return {
    name,
    end,
    command(tar, { keep, isTree }) {
      return ["sh", "-c", script, "sh", place, name, base, keep ? "keep" : "", isTree ? end : "", ...tar];
    },
    async tidy(client, options) {
      const signal = AbortSignal.timeout(tidyPatience);
      // A failure is told already; this one would only hide it.
      await runRemote(client, options, ["rm", "-rf", `${place}/${name}`, `${place}/${end}`], { signal }).catch(
        () => {},
      );
    },
  };
}
