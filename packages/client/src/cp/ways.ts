import { archiveCommandLine } from "@hawser/tar";
import type { KubeClient } from "../client.ts";
import { type Beside, lookScript } from "./beside.ts";
import { mergeCommand, mergeLookScript } from "./merge.ts";
import { argument } from "./paths.ts";
import { runRemote } from "./remote.ts";
import type { Source } from "./source.ts";
import { isVacant, type Target } from "./target.ts";
import type { CopyToOptions } from "./types.ts";

/**
 * How it is unpacked: by tar, beside its place and moved there (a file, or a tree that is new); by tar, in its place, with or without a shell that removes
 * what is cut short; by the runtime, which does as the first.
 */
export type Way = "beside" | "merge" | "tar" | "runtime";

/** What to try where a command is not there: no shell, or no mv or tail; no tar. */
export function nextWay(way: Way): Way | undefined {
  return way === "beside" || way === "merge" ? "tar" : way === "tar" ? "runtime" : undefined;
}

/** Whether its archive gets an end that can be told from a cut: a tree that is to be moved, or one that has no directory there already. */
export function endOf(way: Way, { isTree, base }: { isTree: boolean; base: string }): boolean {
  return (way === "beside" && isTree) || (way === "merge" && base === ".");
}

/** `end`: the name of the archive's end, where it has one. `keep`: half of it is needed for a next try, and tar names what it is at. */
export function commandOf(
  way: Way,
  {
    options,
    target: { directory, base },
    beside,
    end,
    keep,
  }: { options: CopyToOptions; target: Target; beside: Beside; end: string; keep: boolean },
): string[] {
  const { preserve = true } = options;
  if (way === "runtime") return archiveCommandLine({ verb: "extract", path: directory, name: base, preserve });
  const tar = extractWords(options, keep || way === "merge");
  if (way === "beside") return beside.command(tar, { keep, isTree: end !== "" });
  return way === "merge" ? mergeCommand(tar, { directory, end }) : [...tar, "-C", argument(directory)];
}

/** tar's command, but for the directory. */
function extractWords({ preserve = true }: CopyToOptions, named: boolean): string[] {
  const v = named ? "v" : "";
  return preserve ? ["tar", `-xp${v}f`, "-"] : ["tar", "--no-same-permissions", "--no-same-owner", `-xm${v}f`, "-"];
}

/** The way to try first, and whether its tar knows holes as we send them. */
export async function firstWay(
  client: KubeClient,
  options: CopyToOptions,
  { source, target, keep }: { source: Source; target: Target; keep: boolean },
): Promise<{ way: Way; sparse: boolean }> {
  // Holes are only for those who know them; and a stream cannot be sent once more where there is no tar.
  const look = source.hasHoles || !source.repeatable ? await lookAtContainer(client, options) : undefined;
  const sparse = look?.tar === "gnu";
  const way = look?.way ?? "beside";
  const isNew = way !== "beside" || source.single || (await isVacant(client, options, target));
  if (isNew) return { way, sparse };
  if (keep || source.hasNewlines || target.base.includes("\n")) return { way: "tar", sparse };
  // Asked before anything is sent: a command that ends at once, with input on its way, may be told of as a session that broke off.
  const { missing } = await runRemote(client, options, ["sh", "-c", mergeLookScript], {});
  return { way: missing ? "tar" : "merge", sparse };
}

interface Found {
  way: Way;
  tar: "gnu" | "other" | undefined;
}

/** What the container has to unpack with. */
async function lookAtContainer(client: KubeClient, options: CopyToOptions): Promise<Found> {
  const version = ["tar", "--version"];
  const looks: [Way, string[]][] = [
    ["beside", ["sh", "-c", `${lookScript}; "$@"`, "sh", ...version]],
    ["tar", version],
  ];
  for (const [way, command] of looks) {
    const parts: Buffer[] = [];
    const stdout = async (chunk: Buffer) => {
      if (parts.length < 16) parts.push(Buffer.from(chunk.subarray(0, 1024)));
    };
    const { missing } = await runRemote(client, options, command, { stdout });
    if (!missing) return { way, tar: Buffer.concat(parts).includes("GNU tar") ? "gnu" : "other" };
  }
  return { way: "runtime", tar: undefined };
}
