import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, CRIError } from "@hawser/cri";
import type { ByteSource } from "@hawser/streaming";
import type { Logger } from "@hawser/trace";
import { keepHeapAtWork } from "../heap.ts";
import { trimMemory } from "../native/memory.ts";
import type { OCIImageConfig } from "./config.ts";
import { removeDirectory } from "./disk.ts";
import { Downloads } from "./downloads.ts";
import type { Installer } from "./install.ts";
import { LayerStore } from "./layers.ts";
import { loadArchive } from "./load.ts";
import { thisPlatform } from "./manifest.ts";
import { pullImage } from "./pull.ts";
import { type Image, ImageRecords } from "./records.ts";
import { formatReference, parseReference, type Reference } from "./reference.ts";
import { NotFoundError, openRepository } from "./registry/client.ts";
import { type AuthConfig, credentialsOf, dockerCredentials } from "./registry/credentials.ts";
import { CorruptContentError } from "./registry/errors.ts";
import { hostsFor, type RegistryHost } from "./registry/hosts.ts";
import { defaultTimeouts } from "./registry/timeouts.ts";
import { createTransport } from "./registry/transport.ts";
import { Rootfs, type RootfsUsers } from "./rootfs.ts";
import { checkStoreConfig, type ImageStoreConfig } from "./store-config.ts";
import { Unpackers } from "./unpackers.ts";

export interface ImageStoreOptions {
  /** The runtime's root: images lie in `<root>/images`, root file systems in `<root>/containers/<id>`. */
  root: string;
  log: Logger;
  config?: ImageStoreConfig;
  now?: () => number;
}

export interface FsInfo {
  mountpoint: string;
  usedBytes: number;
  inodesUsed: number;
}

/**
 * The node's images, and the containers' root file systems made of them.
 * Disposing ends running transfers and waits until they have tidied up. Mounts stay: containers outlive the runtime.
 */
export interface ImageStore extends AsyncDisposable {
  /**
   * Pulls an image. `auth` is for the image's own registry, never for its mirrors.
   * Throws CRIError in containerd's words: NotFound, FailedPrecondition (corrupt content), InvalidArgument (no reference),
   * Unknown; or the signal's reason.
   */
  pull(options: { reference: string; auth?: AuthConfig | undefined; signal?: AbortSignal }): Promise<{ id: string }>;
  list(reference?: string): Image[];
  /**
   * By name, id, or an unambiguous beginning of the id. Throws CRIError InvalidArgument for an ambiguous one, as all that take a
   * reference.
   */
  status(reference: string): Image | undefined;
  /** The whole config. Throws CRIError NotFound. */
  config(reference: string): Promise<OCIImageConfig>;
  /**
   * Removes an image with all its names, by any of them; the layers go when no image and no container needs them. Fine when there
   * is none.
   */
  remove(reference: string): Promise<void>;
  /** Loads an OCI or docker archive. Resolves with the images' names. */
  load(archive: ByteSource, options?: { signal?: AbortSignal }): Promise<string[]>;
  /**
   * Takes another configuration for the transfers that begin from now on. Throws, and keeps the old one, for one that is none.
   */
  configure(config: ImageStoreConfig): void;
  /** What the images take, from what was measured when they were extracted: no disk is touched. */
  fsInfo(): FsInfo;
  /** Mounts `<root>/containers/<id>/rootfs`. Idempotent. Throws CRIError NotFound for an unknown image. */
  prepareRootfs(options: {
    imageId: string;
    containerId: string;
    /** The user namespace that the image's files are to belong to; without one they are the node's. */
    users?: RootfsUsers | undefined;
  }): Promise<{ rootfs: string; config: OCIImageConfig }>;
  /** Unmounts and removes it, with what the container had written. Idempotent. */
  releaseRootfs(containerId: string): Promise<void>;
}

/**
 * Opens the image store below `root`, finding what former runs left. One process at a time may have it open.
 * Throws for a configuration that is not one. State that cannot be understood is moved to `<root>/images/corrupt`; half-made
 * things of a crash are removed.
 */
export async function openImageStore({
  root,
  log,
  config: given = {},
  now = Date.now,
}: ImageStoreOptions): Promise<ImageStore> {
  let config = checkStoreConfig(given);
  const home = join(root, "images");
  const [temporary, aside, empty] = [join(home, "tmp"), join(home, "corrupt"), join(home, "empty")];
  await removeDirectory(temporary);
  for (const path of [temporary, empty]) await mkdir(path, { recursive: true, mode: 0o700 });

  const unpackers = new Unpackers();
  const layers = await LayerStore.open({ directory: join(home, "layers"), temporary, aside, unpackers, log });
  const records = new ImageRecords({ directory: join(home, "records"), aside, log });
  await records.load((image) => image.chainIDs.every((id) => layers.get(id)));
  const rootfs = new Rootfs({
    directory: join(root, "containers"),
    log,
    lowers(chainIDs) {
      const roots = chainIDs.map((id) => {
        const layer = layers.get(id);
        if (!layer) throw new Error(`layer ${id} is missing`);
        return layers.root(layer);
      });
      return roots.length > 0 ? roots.reverse() : [empty]; // overlayfs wants one lower directory at least
    },
  });
  await rootfs.load();

  let pinned = pinnedNames(config);
  const isPinned = (tags: readonly string[]) => tags.some((tag) => pinned.has(tag));
  const installer: Installer = { layers, records, log, now, isPinned };
  /** What is pinned is the configuration's to say, as it is now. */
  const described = (image: Image): Image => ({ ...image, pinned: isPinned(image.repoTags) });
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  /** Runs a transfer that ends when its caller or the store does. */
  const transfer = async <T>(given: AbortSignal | undefined, body: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    using _atWork = keepHeapAtWork(); // at rest, a transfer's garbage has all that lives marked at once: 11 ms of the event loop
    const started = body(given ? AbortSignal.any([given, closing.signal]) : closing.signal);
    running.add(started);
    try {
      return await started;
    } finally {
      running.delete(started);
      trimMemory();
    }
  };

  const timeouts = { ...defaultTimeouts, ...config.timeouts };
  const transport = createTransport(timeouts);
  const puller = { ...installer, downloads: new Downloads(temporary), platform: thisPlatform() };
  const repositoryFor = (reference: Reference, given: AuthConfig | undefined) => {
    const credentialsFor = async ({ name, mirrorOf }: RegistryHost) => {
      const own = mirrorOf === undefined ? credentialsOf(given, name) : undefined;
      const configured = own ?? credentialsOf(config.auth?.registries?.[name], name);
      const file = config.auth?.dockerConfig;
      return configured ?? (file === undefined ? undefined : await dockerCredentials(file, name));
    };
    return openRepository({ transport, log, credentialsFor }, reference, hostsFor(reference.domain, config));
  };

  const collect = async () => {
    if (!rootfs.complete) return;
    const live = new Set([...records.all().flatMap((image) => image.chainIDs), ...rootfs.chainIDs()]);
    const removed = await layers.collect(live);
    if (removed > 0) log.at(2, "unused layers removed", { removed });
  };
  const found = (reference: string): Image => {
    const image = records.find(reference);
    if (!image) throw new CRIError(Code.NotFound, `image "${reference}" not found`);
    return image;
  };
  await collect();

  return {
    async pull({ reference: text, auth, signal: given }) {
      const reference = readReference(text);
      const name = formatReference(reference);
      return await transfer(given, async (signal) => {
        const started = performance.now();
        try {
          const image = await pullImage(puller, { repository: repositoryFor(reference, auth), reference, signal });
          const milliseconds = Math.round(performance.now() - started);
          log.info("image pulled", { name, id: image.id, size: image.size, milliseconds });
          return { id: image.id };
        } catch (error) {
          signal.throwIfAborted();
          throw pullError(name, error);
        }
      });
    },
    list(reference) {
      if (!reference) return records.all().map(described);
      const image = records.find(reference);
      return image ? [described(image)] : [];
    },
    status(reference) {
      const image = records.find(reference);
      return image && described(image);
    },
    config: async (reference) => await records.config(found(reference).id),
    async remove(reference) {
      const image = records.find(reference);
      if (!image) return;
      await records.remove(image.id);
      log.info("image removed", { id: image.id, names: image.repoTags });
      await collect();
    },
    load: async (archive, { signal: given } = {}) =>
      await transfer(given, (signal) => loadArchive({ ...installer, temporary }, archive, signal)),
    configure(next) {
      config = checkStoreConfig(next);
      pinned = pinnedNames(config);
      Object.assign(timeouts, defaultTimeouts, config.timeouts);
    },
    fsInfo() {
      const all = layers.all();
      return {
        mountpoint: home,
        usedBytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
        inodesUsed: all.reduce((sum, { inodes }) => sum + inodes, 0),
      };
    },
    async prepareRootfs({ imageId, containerId, users }) {
      const known = rootfs.get(containerId);
      if (known && !records.find(imageId)) return await rootfs.prepare(containerId, known);
      const image = found(imageId);
      using _hold = layers.hold(image.chainIDs); // until the container's own record does so
      const config = await records.config(image.id);
      return await rootfs.prepare(containerId, { imageId: image.id, chainIDs: image.chainIDs, config }, users);
    },
    async releaseRootfs(containerId) {
      await rootfs.release(containerId);
      await collect();
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new CRIError(Code.Canceled, "the image store is closing"));
      await Promise.allSettled(running);
      await unpackers[Symbol.asyncDispose]();
      transport[Symbol.dispose]();
    },
  };
}

function pinnedNames({ pinned = [] }: ImageStoreConfig): Set<string> {
  return new Set(pinned.map((name) => formatReference(parseReference(name))));
}

function readReference(text: string): Reference {
  try {
    return parseReference(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CRIError(Code.Unknown, `failed to parse image reference "${text}": ${reason}`, { cause });
  }
}

/** In containerd's words, with the code that the kubelet's events show. */
function pullError(name: string, cause: unknown): CRIError {
  let code: Code = Code.Unknown;
  for (let at = cause; at instanceof Error; at = at.cause) {
    if (at instanceof NotFoundError) code = Code.NotFound;
    if (at instanceof CorruptContentError) code = Code.FailedPrecondition;
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CRIError(code, `failed to pull and unpack image "${name}": ${reason}`, { cause });
}
