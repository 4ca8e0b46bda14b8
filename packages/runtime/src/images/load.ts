import type { ByteSource } from "@hawser/streaming";
import { type Spool, type SpooledFile, spoolArchive } from "./archive.ts";
import { Arrival } from "./arrival.ts";
import { maxConfigSize } from "./config.ts";
import { type Installation, type Installer, installImage } from "./install.ts";
import {
  choosePlatform,
  type Descriptor,
  isImageConfig,
  maxManifestSize,
  parseDescriptor,
  parseManifest,
  thisPlatform,
} from "./manifest.ts";
import { formatReference, parseReference, repositoryOf } from "./reference.ts";

/** Deepest nesting of indexes. */
const maxIndexDepth = 4;

type Found = Omit<Installation, "signal"> & { configDigest: string };

/**
 * Loads all images of an archive: an OCI layout, what `docker save` writes (with any number of tags), or both in one.
 * Resolves with the names they got; an image without one appears by its id.
 * Throws when the archive holds no image, or one whose content is not what its digests say.
 */
export async function loadArchive(
  deps: Installer & { temporary: string },
  archive: ByteSource,
  signal: AbortSignal,
): Promise<string[]> {
  await using spool = await spoolArchive(deps, archive, signal);
  const found = new Map<string, Found>();
  if (spool.find("index.json")) {
    for (const image of await imagesOfLayout(spool)) merge(found, image);
  }
  if (spool.find("manifest.json")) {
    for (const image of await imagesOfDocker(spool)) merge(found, image);
  }
  if (found.size === 0) throw new Error("the archive holds no image: neither index.json nor manifest.json names one");

  const names: string[] = [];
  for (const wanted of found.values()) {
    const image = await installImage(deps, { ...wanted, signal });
    names.push(...(wanted.repoTags.length > 0 ? wanted.repoTags : [image.id]));
    deps.log.info("image loaded", { id: image.id, names: wanted.repoTags });
  }
  return names;
}

/** An archive may describe an image in both its ways: `docker save` since version 25 does. */
function merge(found: Map<string, Found>, image: Found): void {
  const known = found.get(image.configDigest);
  if (!known) found.set(image.configDigest, image);
  else found.set(image.configDigest, { ...known, repoTags: [...new Set([...known.repoTags, ...image.repoTags])] });
}

/** Source: opencontainers/image-spec image-layout.md. */
async function imagesOfLayout(spool: Spool): Promise<Found[]> {
  const index = parseManifest(await spool.read("index.json", maxManifestSize));
  if (index.kind !== "index") throw new Error("index.json is no image index");
  const found: Found[] = [];
  for (const descriptor of index.manifests) {
    const image = await imageOfDescriptor(spool, descriptor, 0);
    if (image) found.push(withNames(image, descriptor));
  }
  return found;
}

async function imageOfDescriptor(spool: Spool, descriptor: Descriptor, depth: number): Promise<Found | undefined> {
  if (depth > maxIndexDepth) throw new Error("image indexes are nested too deeply");
  const file = blobOf(spool, descriptor);
  const manifest = parseManifest(await spool.read(nameOf(descriptor), maxManifestSize), descriptor.mediaType);
  if (manifest.kind === "index") {
    const chosen = choosePlatform(
      manifest.manifests.filter((one) => spool.find(nameOf(one))),
      thisPlatform(),
    );
    if (!chosen) throw new Error("no match for platform in manifest: not found");
    return await imageOfDescriptor(spool, chosen, depth + 1);
  }
  if (!isImageConfig(manifest.config)) return undefined; // an attestation, or another artifact
  const config = blobOf(spool, manifest.config);
  const layers = manifest.layers.map((layer) => blobOf(spool, layer));
  return {
    ...(await installation(spool, nameOf(manifest.config), layers)),
    size: [file, config, ...layers].reduce((sum, { size }) => sum + size, 0),
  };
}

/** Source: moby image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format". */
async function imagesOfDocker(spool: Spool): Promise<Found[]> {
  const value: unknown = JSON.parse((await spool.read("manifest.json", maxManifestSize)).toString("utf8"));
  if (!Array.isArray(value)) throw new Error("manifest.json is no list of images");
  const found: Found[] = [];
  for (const item of value as Record<string, unknown>[]) {
    const { Config: config, Layers: layers, RepoTags: tags } = item ?? {};
    if (typeof config !== "string" || !isStrings(layers)) throw new Error("manifest.json has an incomplete image");
    const files = layers.map((name) => {
      const file = spool.find(name);
      if (!file) throw new Error(`image archive has no "${name}"`);
      return file;
    });
    const repoTags = (isStrings(tags) ? tags : []).map((tag) => formatReference(parseReference(tag)));
    found.push({ ...(await installation(spool, config, files)), repoTags });
  }
  return found;
}

async function installation(spool: Spool, configName: string, layers: SpooledFile[]): Promise<Found> {
  const config = await spool.read(configName, maxConfigSize);
  return {
    config,
    configDigest: spool.find(configName)?.digest ?? "",
    layers: layers.map(({ path, size }) => ({
      blob: async () => ({ arrival: Arrival.whole(path, size), whole: Promise.resolve(path) }),
    })),
    size: layers.reduce((sum, { size }) => sum + size, config.length),
    repoTags: [],
    repoDigests: [],
  };
}

/** Names given by annotations. Source: containerd's `io.containerd.image.name`; image-spec annotations.md `ref.name`. */
function withNames(image: Found, descriptor: Descriptor): Found {
  const full = descriptor.annotations["io.containerd.image.name"];
  const short = descriptor.annotations["org.opencontainers.image.ref.name"];
  // A bare tag (`latest`) names no image; a name has a folder or a tag of its own.
  const name = full ?? (short !== undefined && /[/:@]/.test(short) ? short : undefined);
  if (name === undefined) return image;
  const reference = parseReference(name);
  if (reference.digest !== undefined) return image;
  return {
    ...image,
    repoTags: [formatReference(reference)],
    repoDigests: [`${repositoryOf(reference)}@${descriptor.digest}`],
  };
}

function blobOf(spool: Spool, descriptor: Descriptor): SpooledFile {
  const { digest, size } = parseDescriptor(descriptor);
  const file = spool.find(nameOf(descriptor));
  if (!file) throw new Error(`image archive has no blob ${digest}`);
  if (file.digest !== digest || file.size !== size) {
    throw new Error(
      `blob ${digest} in the image archive is corrupt: it has digest ${file.digest} and ${file.size} bytes`,
    );
  }
  return file;
}

function nameOf({ digest }: Descriptor): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
