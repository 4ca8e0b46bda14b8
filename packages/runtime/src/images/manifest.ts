import { isSHA256 } from "./reference.ts";

/**
 * Largest manifest or index, bytes. Source: containerd remotes/docker MaxManifestSize; distribution-spec asks for 4 MiB at least.
 */
export const maxManifestSize = 4 << 20;

/** Media types of manifests and indexes, in the order we would have them. */
export const manifestTypes = [
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
] as const;

export interface Descriptor {
  mediaType: string;
  digest: string;
  /** Bytes. */
  size: number;
  platform?: Platform;
  annotations: Record<string, string>;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

export type Manifest =
  | { kind: "image"; config: Descriptor; layers: Descriptor[] }
  | { kind: "index"; manifests: Descriptor[] };

/**
 * Reads a manifest or an index, OCI's or Docker's schema 2. Throws an Error that names what is not supported.
 *
 * Source: opencontainers/image-spec manifest.md and image-index.md; distribution docs, "Image Manifest V 2, Schema 2".
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  let value: Record<string, unknown> | null;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new Error("manifest is no JSON", { cause });
  }
  if (!value || typeof value !== "object") throw new Error("manifest is no JSON object");
  const type = typeof value.mediaType === "string" ? value.mediaType : (contentType ?? "");
  if (value.schemaVersion === 1 || type.startsWith("application/vnd.docker.distribution.manifest.v1+")) {
    throw new Error(
      `media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported, please rebuild the image as "${manifestTypes[0]}" or "${manifestTypes[2]}"`,
    );
  }
  if (Array.isArray(value.manifests) && !value.config && !value.layers) {
    return { kind: "index", manifests: value.manifests.map(parseDescriptor) };
  }
  if (value.config && Array.isArray(value.layers) && !value.manifests) {
    return { kind: "image", config: parseDescriptor(value.config), layers: value.layers.map(parseLayerDescriptor) };
  }
  throw new Error(`unsupported manifest of media type "${type}"`);
}

/** Is it an image whose config we understand, rather than some other artifact in a registry? */
export function isImageConfig({ mediaType }: Descriptor): boolean {
  return (
    mediaType === "application/vnd.oci.image.config.v1+json" ||
    mediaType === "application/vnd.docker.container.image.v1+json" ||
    mediaType === "application/octet-stream" // Docker's registries before 2016
  );
}

export function parseDescriptor(value: unknown): Descriptor {
  const given = (value ?? {}) as Record<string, unknown>; // checked here
  const { mediaType = "", digest, size, platform, annotations } = given;
  if (typeof digest !== "string" || !isSHA256(digest))
    throw new Error(`descriptor has an unsupported digest "${digest}"`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw new Error("descriptor has no valid size");
  const parsed = parsePlatform(platform);
  return {
    mediaType: String(mediaType),
    digest,
    size,
    annotations: parseAnnotations(annotations),
    ...(parsed && { platform: parsed }),
  };
}

/** This machine, in OCI's words. */
export function thisPlatform(arch: string = process.arch): Platform {
  const names: Record<string, Platform> = {
    x64: { os: "linux", architecture: "amd64" },
    arm64: { os: "linux", architecture: "arm64", variant: "v8" },
    arm: { os: "linux", architecture: "arm", variant: "v7" },
    ia32: { os: "linux", architecture: "386" },
  };
  return names[arch] ?? { os: "linux", architecture: arch };
}

/**
 * The manifest of an index that fits a platform best; the first of equals. An entry without a platform fits where
 * nothing else does. Undefined when none fits.
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const usable = manifests.filter(({ annotations }) => !annotations["vnd.docker.reference.type"]); // attestations
  const score = ({ platform }: Descriptor): number => {
    if (!platform) return 1;
    if (platform.os !== wanted.os || platform.architecture !== wanted.architecture) return 0;
    if (platform.variant === wanted.variant) return 4;
    if (platform.variant === undefined || wanted.variant === undefined) return 3;
    return platform.variant < wanted.variant ? 2 : 0; // an older variant of the same architecture runs too
  };
  let best: Descriptor | undefined;
  for (const manifest of usable) {
    if (score(manifest) > (best ? score(best) : 0)) best = manifest;
  }
  return best;
}

function parseLayerDescriptor(value: unknown): Descriptor {
  const layer = parseDescriptor(value);
  if (layer.mediaType.endsWith("+encrypted"))
    throw new Error(`encrypted layers are not supported (${layer.mediaType})`);
  return layer;
}

function parsePlatform(value: unknown): Platform | undefined {
  const { os, architecture, variant } = (value ?? {}) as Record<string, unknown>;
  if (typeof os !== "string" || typeof architecture !== "string") return undefined;
  return { os, architecture, ...(typeof variant === "string" && variant !== "" && { variant }) };
}

function parseAnnotations(value: unknown): Record<string, string> {
  if (!value || typeof value !== "object") return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
