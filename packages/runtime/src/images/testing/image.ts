import { tarArchive, tarEntry } from "@hawser/tar";
import { digestOf } from "../digest.ts";

/** An image made for a test: its parts, and the archives that hold it. */
export interface TestImage {
  id: string;
  config: Buffer;
  manifest: Buffer;
  manifestDigest: string;
  /** As transferred. */
  layers: Buffer[];
}

/** Makes an image of uncompressed tar layers; `compress` is applied to what is transferred. */
export function testImage(
  layers: readonly Buffer[] = [],
  settings: Record<string, unknown> = {},
  compress: (layer: Buffer) => Buffer = (layer) => layer,
): TestImage {
  const config = json({
    architecture: "amd64",
    os: "linux",
    config: settings,
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
  });
  const blobs = layers.map(compress);
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: describeBlob("application/vnd.oci.image.config.v1+json", config),
    layers: blobs.map((blob) => describeBlob("application/vnd.oci.image.layer.v1.tar", blob)),
  });
  return { id: digestOf(config), config, manifest, manifestDigest: digestOf(manifest), layers: blobs };
}

/** As an OCI layout. */
export function ociArchive({ config, manifest, layers }: TestImage, name?: string): Buffer {
  const annotations = name === undefined ? {} : { annotations: { "io.containerd.image.name": name } };
  const described = describeBlob("application/vnd.oci.image.manifest.v1+json", manifest);
  const index = json({ schemaVersion: 2, manifests: [{ ...described, ...annotations }] });
  const blob = (bytes: Buffer) => tarEntry({ name: `blobs/${digestOf(bytes).replace(":", "/")}` }, bytes);
  return tarArchive([tarEntry({ name: "index.json" }, index), ...[config, manifest, ...layers].map(blob)]);
}

/** As `docker save` of old writes it. */
export function dockerArchive({ config, layers }: TestImage, tags: string[]): Buffer {
  const names = layers.map((_, index) => `${index}/layer.tar`);
  const manifest = json([{ Config: "config.json", RepoTags: tags, Layers: names }]);
  return tarArchive([
    tarEntry({ name: "config.json" }, config),
    ...layers.map((layer, index) => tarEntry({ name: names[index] ?? "" }, layer)),
    tarEntry({ name: "manifest.json" }, manifest),
  ]);
}

export function describeBlob(mediaType: string, bytes: Buffer) {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** The bytes as a source, in pieces. */
export async function* inPieces(bytes: Buffer, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
