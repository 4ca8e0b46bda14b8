// An image as one archive in both forms: an OCI layout, and the manifest.json of `docker save` beside it.
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import { tarArchive, tarEntry } from "@hawser/tar";
import { digestOf } from "../packages/runtime/src/images/digest.ts";

export interface ImageContent {
  /** In full: `docker.io/library/nginx:latest`. */
  name: string;
  /** In OCI's words: `amd64`. */
  architecture: string;
  /** Cmd, Env, User and the like. */
  settings: Record<string, unknown>;
  /** Tars, lowest first. */
  layers: readonly Buffer[];
  /** Whether the layers are to be in gzip. */
  compress?: boolean;
  /** `created` and `history`, where they matter. */
  origin?: Record<string, unknown>;
}

/** Source: opencontainers/image-spec image-layout.md; moby image/spec/spec.md */
export async function imageArchive(image: ImageContent): Promise<Buffer> {
  const { name, architecture, settings, layers, compress = false, origin = {} } = image;
  const pack = (layer: Buffer) => promisify(gzip)(layer, { level: constants.Z_DEFAULT_COMPRESSION });
  const blobs = compress ? await Promise.all(layers.map(pack)) : layers;
  const rootfs = { type: "layers", diff_ids: layers.map(digestOf) };
  const config = json({ architecture, os: "linux", config: settings, rootfs, ...origin });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: describe("application/vnd.oci.image.config.v1+json", config),
    layers: blobs.map((blob) => describe(`application/vnd.oci.image.layer.v1.tar${compress ? "+gzip" : ""}`, blob)),
  });
  const tag = name.slice(name.lastIndexOf(":") + 1);
  const index = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...describe("application/vnd.oci.image.manifest.v1+json", manifest),
        annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag },
      },
    ],
  });
  const place = (bytes: Buffer) => `blobs/${digestOf(bytes).replace(":", "/")}`;
  const docker = json([{ Config: place(config), RepoTags: [name], Layers: blobs.map(place) }]);
  return tarArchive([
    tarEntry({ name: "oci-layout" }, json({ imageLayoutVersion: "1.0.0" })),
    tarEntry({ name: "index.json" }, index),
    tarEntry({ name: "manifest.json" }, docker),
    ...[config, manifest, ...blobs].map((bytes) => tarEntry({ name: place(bytes) }, bytes)),
  ]);
}

function describe(mediaType: string, bytes: Buffer) {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
