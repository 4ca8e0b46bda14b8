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
 * Unpacks one file beside its place, and moves it there when it is whole. A hang-up does not end it: with its client gone, tar comes to the end of what
 * there is, fails, and what it has made is removed. 127 where the container cannot move files.
 */
const script = `trap '' HUP; ${lookScript}
d=$1 t=$2 n=$3 keep=$4; shift 4
"$@" -C "$d"; code=$?
if test $code = 0; then mv -f "$d/$t" "$d/$n" || code=$?; fi
if test $code != 0 && test -z "$keep"; then rm -f "$d/$t"; fi
exit $code`;

/** Where a file is on its way, until it is whole. */
export interface Beside {
  /** Its name meanwhile. */
  name: string;
  /** The command for `tar`, without its `-C`. `keep`: half of a file is needed later. */
  command(tar: readonly string[], keep: boolean): string[];
  /** Removes it, where the container can be reached within 2 s. */
  tidy(client: KubeClient, options: CopyToOptions): Promise<void>;
}

/** `directory` and `base` are the container's: where the file goes to in the end. */
export function besideOf({ directory, base }: { directory: string; base: string }): Beside {
  const name = `.hawser-cp-${randomBytes(6).toString("hex")}`;
  const place = argument(directory);
  return {
    name,
    command: (tar, keep) => ["sh", "-c", script, "sh", place, name, base, keep ? "keep" : "", ...tar],
    async tidy(client, options) {
      const signal = AbortSignal.timeout(tidyPatience);
      // A failure is told already; this one would only hide it.
      await runRemote(client, options, ["rm", "-f", `${place}/${name}`], { signal }).catch(() => {});
    },
  };
}
