import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { limiter } from "../limiter.ts";
import { maxConfigSize } from "./config.ts";
import type { Downloads } from "./downloads.ts";
import { type Installer, installImage } from "./install.ts";
import {
  choosePlatform,
  type Descriptor,
  isImageConfig,
  type Manifest,
  type Platform,
  parseManifest,
} from "./manifest.ts";
import type { Image } from "./records.ts";
import { formatReference, type Reference, repositoryOf } from "./reference.ts";
import type { Repository, Resolved } from "./registry/client.ts";
import { downloadBlob } from "./registry/download.ts";
import { CorruptContentError } from "./registry/errors.ts";

/** Layers of one pull downloaded at a time. Source: containerd's max_concurrent_downloads. */
const maxDownloads = 3;
/** Deepest nesting of indexes. */
const maxIndexDepth = 4;

/** How much of a downloaded layer is read at a time, bytes. */
const readBytes = 128 * 1024;

export interface Puller extends Installer {
  downloads: Downloads;
  platform: Platform;
}

/**
 * Pulls what a reference stands for: manifests first, then the layers that are not there, to disk and checked as they come,
 * a few at a time, while the lowest are extracted already. Nothing is left of a pull that fails, but layers that are whole.
 */
export async function pullImage(
  deps: Puller,
  { repository, reference, signal }: { repository: Repository; reference: Reference; signal: AbortSignal },
): Promise<Image> {
  const resolved = await step("failed to resolve reference", formatReference(reference), () =>
    repository.resolve(signal),
  );
  const repoTags = reference.tag === undefined ? [] : [formatReference(reference)];
  const repoDigests = [`${repositoryOf(reference)}@${resolved.digest}`];
  const known = deps.records.findByDigest(resolved.digest);
  if (known) return await rename(deps, known, repoTags, repoDigests);

  const { manifest, size } = await findManifest(deps, repository, resolved, signal);
  await using blobs = new AsyncDisposableStack();
  const abort = new AbortController();
  const both = AbortSignal.any([signal, abort.signal]);
  const fetched = async (kind: "config" | "layer", descriptor: Descriptor): Promise<string> => {
    const fetch = (path: string, alone: AbortSignal) => downloadBlob({ repository, path, kind }, descriptor, alone);
    return blobs.use(await copying(both, deps.downloads.get(descriptor.digest, fetch, both))).path;
  };

  if (manifest.config.size > maxConfigSize) throw new Error(`image config is larger than ${maxConfigSize} bytes`);
  const config = await readFile(await fetched("config", manifest.config));

  const downloads = new Map<number, Promise<string>>();
  try {
    return await installImage(deps, {
      config,
      layers: manifest.layers.map((layer, index) => ({
        async blob(inner) {
          const path = await (downloads.get(index) ?? fetched("layer", layer));
          inner.throwIfAborted();
          return createReadStream(path, { highWaterMark: readBytes });
        },
      })),
      onMissing(indexes) {
        const slots = limiter(maxDownloads);
        for (const index of indexes) {
          const layer = manifest.layers[index];
          if (!layer) continue;
          const started = slots(() => fetched("layer", layer));
          started.catch((error: unknown) => abort.abort(error)); // the pull ends at once, whichever layer it waits for
          downloads.set(index, started);
        }
      },
      repoTags,
      repoDigests,
      size: manifest.layers.reduce((sum, layer) => sum + layer.size, size + manifest.config.size),
      signal: both,
    });
  } finally {
    abort.abort(new Error("the pull is over"));
    await Promise.allSettled(downloads.values()); // what they have fetched goes now, unless another pull needs it
  }
}

/** The image is here already, under this or another name: only names are added. */
async function rename({ records, isPinned, now }: Puller, image: Image, repoTags: string[], repoDigests: string[]) {
  if ([...repoTags, ...repoDigests].every((name) => [...image.repoTags, ...image.repoDigests].includes(name))) {
    return image;
  }
  return await records.name(image.id, { repoTags, repoDigests, pinned: isPinned(repoTags), updatedAt: now() });
}

/** Goes down from what was resolved to the manifest for this platform. `size` is the manifest's own, bytes. */
async function findManifest(
  { platform }: Puller,
  repository: Repository,
  resolved: Resolved,
  signal: AbortSignal,
): Promise<{ manifest: Extract<Manifest, { kind: "image" }>; size: number }> {
  let at: Pick<Descriptor, "digest" | "mediaType"> = resolved;
  for (let depth = 0; depth <= maxIndexDepth; depth++) {
    const bytes = (depth === 0 && resolved.bytes) || (await repository.manifest(at, signal));
    const manifest = parseManifest(bytes, at.mediaType);
    if (manifest.kind === "image") {
      if (isImageConfig(manifest.config)) return { manifest, size: bytes.length };
      throw new Error(`unsupported image config of media type "${manifest.config.mediaType}"`);
    }
    const chosen = choosePlatform(manifest.manifests, platform);
    if (!chosen) throw new Error("no match for platform in manifest: not found");
    at = chosen;
  }
  throw new Error("image indexes are nested too deeply");
}

/** A failed transfer in containerd's words; content of another digest has words of its own. */
async function copying<T>(signal: AbortSignal, transfer: Promise<T>): Promise<T> {
  try {
    return await transfer;
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof CorruptContentError) throw cause;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`failed to copy: httpReadSeeker: failed open: ${text}`, { cause });
  }
}

async function step<T>(what: string, name: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    throw new Error(`${what} "${name}": ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
