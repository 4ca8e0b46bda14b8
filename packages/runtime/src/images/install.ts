import type { ByteSource } from "@hawser/streaming";
import type { Logger } from "@hawser/trace";
import { parseConfig } from "./config.ts";
import { chainIDs, digestOf } from "./digest.ts";
import type { Layer, LayerStore } from "./layers.ts";
import type { Image, ImageRecords } from "./records.ts";

export interface Installer {
  layers: LayerStore;
  records: ImageRecords;
  log: Logger;
  /** Is an image of these names one that must stay? */
  isPinned(repoTags: readonly string[]): boolean;
  now(): number;
}

export interface Installation {
  config: Uint8Array;
  /** In the order of the config's diff_ids, lowest first. `blob` is only asked for layers that are not there. */
  layers: readonly { blob(signal: AbortSignal): Promise<ByteSource> }[];
  /** Called once it is known which of the layers are needed, so that their transfer can begin at once. */
  onMissing?(indexes: number[]): void;
  repoTags: readonly string[];
  repoDigests: readonly string[];
  /** Bytes, as transferred. */
  size: number;
  signal: AbortSignal;
}

/**
 * Makes an image of a config and its layers: extracts what is missing, from the lowest up, then writes the record.
 * Either the image is there at the end, or nothing new but whole layers, which the next collection removes.
 */
export async function installImage(
  { layers, records, isPinned, now }: Installer,
  wanted: Installation,
): Promise<Image> {
  const config = parseConfig(wanted.config);
  const diffIDs = config.rootfs.diff_ids;
  if (diffIDs.length !== wanted.layers.length) {
    throw new Error(
      `mismatched image rootfs and manifest layers: ${diffIDs.length} diff_ids, ${wanted.layers.length} layers`,
    );
  }
  const chain = chainIDs(diffIDs);
  using _hold = layers.hold(chain);
  wanted.onMissing?.(chain.flatMap((id, index) => (layers.get(id) ? [] : [index])));
  const lowers: Layer[] = [];
  for (const [index, { blob }] of wanted.layers.entries()) {
    const [chainID = "", diffID = ""] = [chain[index], diffIDs[index]];
    lowers.unshift(await layers.ensure({ chainID, diffID, lowers: [...lowers], blob, signal: wanted.signal }));
  }
  wanted.signal.throwIfAborted();
  return await records.add(
    {
      id: digestOf(wanted.config),
      repoTags: [...wanted.repoTags],
      repoDigests: [...wanted.repoDigests],
      chainIDs: chain,
      size: wanted.size,
      user: config.config?.User ?? "",
      pinned: isPinned(wanted.repoTags),
      updatedAt: now(),
    },
    wanted.config,
  );
}
