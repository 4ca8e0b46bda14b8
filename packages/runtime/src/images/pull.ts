import { readFile } from "node:fs/promises";
import { limiter } from "../limiter.ts";
import type { Arrival } from "./arrival.ts";
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
import { Progress } from "./progress.ts";
import type { Image } from "./records.ts";
import { formatReference, type Reference, repositoryOf } from "./reference.ts";
import type { Repository, Resolved } from "./registry/client.ts";
import { downloadBlob } from "./registry/download.ts";
import { CorruptContentError } from "./registry/errors.ts";

/** Layers of one pull downloaded at a time. Source: containerd's max_concurrent_downloads. */
const maxDownloads = 3;
/** Deepest nesting of indexes. */
const maxIndexDepth = 4;

export interface Puller extends Installer {
  downloads: Downloads;
  platform: Platform;
}

/** A layer's transfer: it has begun; all of it is there, and is what it should be. */
interface Download {
  begun: Promise<Arrival>;
  whole: Promise<string>;
}

/**
 * Pulls what a reference stands for: manifests first, then the layers that are not there, to disk and checked as they come,
 * a few at a time, and unpacked while they come. Nothing is left of a pull that fails, but layers that are whole.
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
  using progress = new Progress(deps, formatReference(reference));
  const fetched = async (
    kind: "config" | "layer",
    descriptor: Descriptor,
    onStart?: (arrival: Arrival) => void,
  ): Promise<string> => {
    const fetch = (_path: string, alone: AbortSignal, arrival: Arrival) =>
      downloadBlob({ repository, arrival, kind }, descriptor, alone);
    const begun = (arrival: Arrival) => {
      progress.begun(descriptor, arrival);
      onStart?.(arrival);
    };
    return blobs.use(await copying(both, deps.downloads.get(descriptor.digest, fetch, both, begun))).path;
  };

  if (manifest.config.size > maxConfigSize) throw new Error(`image config is larger than ${maxConfigSize} bytes`);
  progress.expect(manifest.config);
  const config = await readFile(await fetched("config", manifest.config));

  const downloads = new Map<Descriptor, Download>();
  const slots = limiter(maxDownloads);
  const download = (layer: Descriptor): Download => {
    progress.expect(layer);
    const begun = Promise.withResolvers<Arrival>();
    begun.promise.catch(() => undefined); // whoever waits for it hears of it
    const whole = slots(() => fetched("layer", layer, begun.resolve));
    whole.catch((error: unknown) => {
      begun.reject(error);
      abort.abort(error); // the pull ends at once, whichever layer it waits for
    });
    const started = { begun: begun.promise, whole };
    downloads.set(layer, started);
    return started;
  };
  try {
    return await installImage(deps, {
      config,
      layers: manifest.layers.map((layer) => ({
        async blob(inner) {
          const { begun, whole } = downloads.get(layer) ?? download(layer);
          inner.addEventListener("abort", () => abort.abort(inner.reason), { once: true });
          return { arrival: await begun, whole };
        },
      })),
      onMissing(indexes) {
        for (const index of indexes) {
          const layer = manifest.layers[index];
          if (layer) download(layer);
        }
      },
      repoTags,
      repoDigests,
      size: manifest.layers.reduce((sum, layer) => sum + layer.size, size + manifest.config.size),
      signal: both,
    });
  } finally {
    abort.abort(new Error("the pull is over"));
    await Promise.allSettled([...downloads.values()].map(({ whole }) => whole)); // what they have fetched goes now, unless another pull needs it
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
