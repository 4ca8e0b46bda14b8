import type { Logger } from "@hawser/trace";
import { limiter } from "../limiter.ts";
import { parseConfig } from "./config.ts";
import { chainIDs, digestOf } from "./digest.ts";
import type { Layer, LayerBlob, LayerRoot, LayerStore } from "./layers.ts";
import type { Image, ImageRecords } from "./records.ts";

/** Layers of one image unpacked at a time. */
const maxUnpacking = 3;

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
  layers: readonly { blob(signal: AbortSignal): Promise<LayerBlob> }[];
  /** Called once it is known which of the layers are needed, so that their transfer can begin at once. */
  onMissing?(indexes: number[]): void;
  repoTags: readonly string[];
  repoDigests: readonly string[];
  /** Bytes, as transferred. */
  size: number;
  signal: AbortSignal;
}

/**
 * Makes an image of a config and its layers: extracts what is missing, a few layers at a time, each in its place only when those
 * below it are; then writes the record. Either the image is there at the end, or nothing new but whole layers, which the next
 * collection removes.
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
  await using roots = new AsyncDisposableStack();
  await allOrNone(wanted.signal, (signal) => {
    const turn = limiter(maxUnpacking);
    const made: Promise<Layer>[] = [];
    const whole = chain.map(() => Promise.withResolvers<string>());
    for (const [index, { blob }] of wanted.layers.entries()) {
      const [chainID = "", diffID = ""] = [chain[index], diffIDs[index]];
      const lowers = async () => (await Promise.all(whole.slice(0, index).map(({ promise }) => promise))).reverse();
      const below = () => Promise.all(made.slice(0, index));
      const onWhole = (root: LayerRoot) => whole[index]?.resolve(roots.use(root).path);
      const layer = layers.ensure({ chainID, diffID, lowers, onWhole, below, blob, turn, signal });
      layer.catch((error: unknown) => whole[index]?.reject(error));
      whole[index]?.promise.catch(() => undefined); // whoever waits for it hears of it
      made.push(layer);
    }
    return made;
  });
  await layers.settle();
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

/** Runs what `start` starts. The first failure aborts the others, and is thrown when all have ended. */
async function allOrNone(outer: AbortSignal, start: (signal: AbortSignal) => Promise<unknown>[]): Promise<void> {
  const abort = new AbortController();
  const running = start(AbortSignal.any([outer, abort.signal]));
  try {
    await Promise.all(running);
  } catch (error) {
    abort.abort(error);
    await Promise.allSettled(running);
    throw error;
  }
}
