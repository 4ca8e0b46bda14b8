import { constants } from "node:fs";
import { mkdir, open, readdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@hawser/trace";
import { orAborted } from "../or-aborted.ts";
import { Arrival } from "./arrival.ts";
import {
  fileSystemSync,
  gathered,
  readWholeJSON,
  removeDirectory,
  setAside,
  syncDirectory,
  temporaryDirectory,
} from "./disk.ts";
import type { DiskUsage } from "./disk-usage.ts";
import { LayerError } from "./layer-paths.ts";
import { ThreadLostError, type Unpacked, type Unpackers } from "./unpackers.ts";

/** An extracted layer. Its directory's name is a short number: overlayfs takes 4 KiB of names at most. */
export interface Layer {
  chainID: string;
  diffID: string;
  directory: string;
  /** Disk space it takes, bytes. */
  bytes: number;
  inodes: number;
}

/** A layer as it comes: still on its way, or there. */
export interface LayerBlob {
  /** To be read from while it arrives. */
  arrival: Arrival;
  /** The file, whole and checked. */
  whole: Promise<string>;
}

/** A layer's root by a path that leads there also when it is moved meanwhile. */
export interface LayerRoot extends AsyncDisposable {
  path: string;
}

/** What a layer is to be made of. */
export interface WantedLayer {
  chainID: string;
  diffID: string;
  /** The roots of the layers below, topmost first, once they are whole: only then is this one's finished. */
  lowers(): Promise<readonly string[]>;
  /**
   * Called with this one's root once it is whole, which may be before it is in its place; to be disposed when nobody reads there.
   */
  onWhole(root: LayerRoot): void;
  /** Resolves when the layers below are in their places. */
  below(): Promise<unknown>;
  /** Its transfer has begun when this resolves. */
  blob(signal: AbortSignal): Promise<LayerBlob>;
  /** Waits for one's turn to unpack. */
  turn<T>(body: () => Promise<T>): Promise<T>;
  signal: AbortSignal;
}

export interface LayerStoreOptions {
  /** Where layers lie: `<directory>/<number>/{layer.json,fs}`. */
  directory: string;
  /** On the same file system. */
  temporary: string;
  aside: string;
  unpackers: Unpackers;
  log: Logger;
}

/**
 * The extracted layers, each once, by chainID. A layer is there whole or not at all: it is extracted into a temporary
 * directory, written to disk, and renamed into place with its description.
 */
export class LayerStore {
  readonly #options: LayerStoreOptions;
  readonly #sync: () => Promise<void>;
  readonly #syncPlaces: () => Promise<void>;
  readonly #layers = new Map<string, Layer>();
  readonly #making = new Map<string, Promise<Layer>>();
  readonly #held = new Map<string, number>();
  #nextNumber = 1;

  constructor(options: LayerStoreOptions) {
    this.#options = options;
    this.#sync = fileSystemSync(options.directory);
    this.#syncPlaces = gathered(() => syncDirectory(options.directory));
  }

  /** Finds the layers of former runs; sets aside what it cannot understand. */
  static async open(options: LayerStoreOptions): Promise<LayerStore> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const store = new LayerStore(options);
    for (const name of await readdir(options.directory)) {
      const directory = join(options.directory, name);
      if (/^[0-9]{1,15}$/.test(name)) store.#nextNumber = Math.max(store.#nextNumber, Number(name) + 1);
      try {
        const layer = parseLayer(directory, await readWholeJSON(join(directory, "layer.json")));
        if (store.#layers.has(layer.chainID)) throw new Error(`layer ${layer.chainID} is there twice`);
        store.#layers.set(layer.chainID, layer);
      } catch (error) {
        await setAside(options, directory, error);
      }
    }
    return store;
  }

  get(chainID: string): Layer | undefined {
    return this.#layers.get(chainID);
  }

  all(): Layer[] {
    return [...this.#layers.values()];
  }

  /** A layer's root directory. */
  root(layer: Layer): string {
    return join(layer.directory, "fs");
  }

  /** Keeps layers from being collected, those that do not exist yet included, until disposed. */
  hold(chainIDs: readonly string[]): Disposable {
    const change = (by: number) => {
      for (const id of chainIDs) {
        const count = (this.#held.get(id) ?? 0) + by;
        if (count > 0) this.#held.set(id, count);
        else this.#held.delete(id);
      }
    };
    change(1);
    return { [Symbol.dispose]: () => change(-1) };
  }

  /**
   * The layer, made from its blob if it is not there yet; concurrent calls share the work.
   * Throws LayerError when the content is not what `diffID` says, and what Unpackers, `lowers` and `blob` throw.
   */
  async ensure(wanted: WantedLayer): Promise<Layer> {
    for (;;) {
      wanted.signal.throwIfAborted();
      const layer = this.#layers.get(wanted.chainID);
      if (layer) {
        wanted.onWhole({ path: this.root(layer), [Symbol.asyncDispose]: async () => undefined });
        return layer;
      }
      const making = this.#making.get(wanted.chainID);
      if (!making) break;
      const settled = making.catch(() => undefined); // another's failure may be another's abort: then it is our turn
      await orAborted(settled, wanted.signal);
    }
    const making = this.#make(wanted).finally(() => this.#making.delete(wanted.chainID));
    this.#making.set(wanted.chainID, making);
    return await making;
  }

  /** Resolves when the layers there are now are so also after a crash. */
  async settle(): Promise<void> {
    await this.#syncPlaces();
  }

  /** Removes the layers that are neither in `live` nor held. Resolves with their number. */
  async collect(live: ReadonlySet<string>): Promise<number> {
    const dead = this.all().filter(({ chainID }) => !live.has(chainID) && !this.#held.has(chainID));
    for (const { chainID } of dead) this.#layers.delete(chainID); // at once, so that nobody builds on them
    for (const { directory } of dead) {
      await using grave = await temporaryDirectory(this.#options.temporary);
      await rename(directory, join(grave.path, "layer"));
    }
    return dead.length;
  }

  async #make(wanted: WantedLayer): Promise<Layer> {
    const { chainID, diffID, signal } = wanted;
    const started = performance.now();
    await using work = await temporaryDirectory(this.#options.temporary);
    const fresh = join(work.path, "layer");
    const root = join(fresh, "fs");
    const { bytes, inodes } = await this.#extract(wanted, root).catch(async (error: unknown) => {
      signal.throwIfAborted();
      if (!isThreadLost(error)) throw error;
      this.#options.log.warn("a layer is unpacked once more, in a thread of its own", { diffID, error });
      return await this.#extractAlone(wanted, root);
    });
    const description = { chainID, diffID, bytes, inodes };
    await writeFile(join(fresh, "layer.json"), JSON.stringify(description), { mode: 0o600 });
    wanted.onWhole(await openRoot(root));
    await Promise.all([this.#sync(), wanted.below()]); // all of it is on disk, the description too, before it is in its place
    signal.throwIfAborted();
    const directory = join(this.#options.directory, String(this.#nextNumber++));
    await rename(fresh, directory);
    const layer = { ...description, directory };
    this.#layers.set(chainID, layer);
    const milliseconds = Math.round(performance.now() - started);
    this.#options.log.at(2, "layer fetched, extracted, and in its place", { diffID, bytes, inodes, milliseconds });
    return layer;
  }

  async #extract(wanted: WantedLayer, root: string): Promise<DiskUsage> {
    await using unpacked = await wanted.turn(() => this.#unpack(wanted, root));
    return await finish(unpacked, wanted, await wanted.lowers());
  }

  /** The same when all that it takes is there, so that whoever is alone with a thread waits for nobody. */
  async #extractAlone(wanted: WantedLayer, root: string): Promise<DiskUsage> {
    const lowers = await wanted.lowers();
    const { whole } = await wanted.blob(wanted.signal);
    const path = await whole;
    const arrival = Arrival.whole(path, (await stat(path)).size);
    await using thread = await this.#options.unpackers.alone(wanted.signal);
    await using unpacked = await attempt(thread, wanted, { arrival, root });
    return await finish(unpacked, wanted, lowers);
  }

  /**
   * Unpacks the blob while it arrives. If that comes to nothing since the transfer had to begin anew, once more when it is there.
   */
  async #unpack(wanted: WantedLayer, root: string): Promise<Unpacked> {
    const { unpackers } = this.#options;
    const { blob, signal } = wanted;
    signal.throwIfAborted();
    const { arrival, whole } = await blob(signal);
    try {
      const unpacked = await attempt(unpackers, wanted, { arrival, root });
      await whole.catch(async (error: unknown) => {
        await unpacked[Symbol.asyncDispose]();
        throw error;
      });
      return unpacked;
    } catch (error) {
      signal.throwIfAborted();
      const path = await whole; // if the blob is not what it should be, that is what went wrong
      if (!arrival.broken) throw error;
      return await attempt(unpackers, wanted, { arrival: Arrival.whole(path, (await stat(path)).size), root });
    }
  }
}

async function attempt(
  unpacker: Pick<Unpackers, "unpack">,
  { diffID, signal }: WantedLayer,
  { arrival, root }: { arrival: Arrival; root: string },
): Promise<Unpacked> {
  await removeDirectory(root);
  await mkdir(root, { recursive: true, mode: 0o755 });
  const unpacked = await unpacker.unpack({ blob: arrival, directory: root, signal }).catch((cause: unknown) => {
    throw extractionError(diffID, signal, cause);
  });
  if (unpacked.diffID === diffID) return unpacked;
  await unpacked[Symbol.asyncDispose]();
  throw new LayerError(`wrong diff id calculated on extraction "${unpacked.diffID}", expected "${diffID}"`);
}

async function finish(unpacked: Unpacked, { diffID, signal }: WantedLayer, lowers: readonly string[]) {
  return await unpacked.finish(lowers).catch((cause: unknown) => {
    throw extractionError(diffID, signal, cause);
  });
}

function isThreadLost(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof ThreadLostError) return true;
  return false;
}

async function openRoot(root: string): Promise<LayerRoot> {
  const directory = await open(root, constants.O_RDONLY | constants.O_DIRECTORY);
  // With the dot it is the directory for lstat too, not /proc's link to it.
  return { path: `/proc/self/fd/${directory.fd}/.`, [Symbol.asyncDispose]: () => directory.close() };
}

function extractionError(diffID: string, signal: AbortSignal, cause: unknown): unknown {
  if (signal.aborted) return signal.reason;
  const text = cause instanceof Error ? cause.message : String(cause);
  return new LayerError(`failed to extract layer ${diffID}: ${text}`, { cause });
}

function parseLayer(directory: string, value: unknown): Layer {
  const { chainID, diffID, bytes, inodes } = (value ?? {}) as Partial<Layer>; // checked here
  if (typeof chainID !== "string" || typeof diffID !== "string" || !Number.isSafeInteger(bytes)) {
    throw new Error("layer.json is missing or incomplete");
  }
  return { chainID, diffID, directory, bytes: Number(bytes), inodes: Number(inodes ?? 0) };
}
