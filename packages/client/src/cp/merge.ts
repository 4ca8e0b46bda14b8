// A tree that is added to one that is there: by tar in its place, whose file under way does not stay cut short.
import type { KubeClient } from "../client.ts";
import { lookFor, tidyPatience } from "./beside.ts";
import { argument } from "./paths.ts";
import { runRemote } from "./remote.ts";
import type { CopyToOptions } from "./types.ts";

/** 127 where a container has not what merging takes. */
export const mergeLookScript = lookFor("tail");

/**
 * Unpacks, and removes the file that tar was at where it fails: the one it named last, since it names each as it begins with it. A hang-up does not end
 * it. An archive's last name is never a file's that is to stay: it is a directory's, or `end`, which is removed. Of a tar that names none nothing is removed.
 *
 * GNU's tar names them as they are by TAR_OPTIONS, which others do not know. Names with a newline must not be among them. 127 where there is no tail.
 */
const script = `trap '' HUP; ${mergeLookScript}
d=$1 end=$2; shift 2
said=$({ TAR_OPTIONS="$TAR_OPTIONS --quoting-style=literal" "$@" -C "$d"; echo ":$?"; } | tail -n 2)
code=\${said##*:} last=\${said%:*}; last=$d/\${last%?}
if test "$code" != 0 && test -f "$last" && test ! -L "$last"; then rm -f "$last"; fi
test -z "$end" || rm -f "$d/$end"
exit "$code"`;

/** The command for `tar` with its -v and without its -C. `end`: the name of an empty file at the archive's end; empty where that is a directory. */
export function mergeCommand(tar: readonly string[], { directory, end }: { directory: string; end: string }): string[] {
  return ["sh", "-c", script, "sh", argument(directory), end, ...tar];
}

const tidyScript = 'test "$(wc -c <"$1")" -lt "$2" && test ! -L "$1" && rm -f "$1"';

/** Removes what is there of a file, where it is cut short and the container can be reached within 2 s. */
export async function removeHalf(
  client: KubeClient,
  options: CopyToOptions,
  { path, size }: { path: string; size: number },
): Promise<void> {
  const signal = AbortSignal.timeout(tidyPatience);
  const command = ["sh", "-c", tidyScript, "sh", argument(path), String(size)];
  // A failure is told already; this one would only hide it.
  await runRemote(client, options, command, { signal }).catch(() => {});
}
