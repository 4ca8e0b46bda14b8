// Pushes an image archive into a registry.
//
//   node scripts/push-image.ts ARCHIVE 127.0.0.1:5000/library/nginx:latest
import { createReadStream } from "node:fs";
import { tmpdir } from "node:os";
import type { ByteSource } from "@hawser/streaming";
import { type Spool, spoolArchive } from "../packages/runtime/src/images/archive.ts";
import { type Descriptor, maxManifestSize, parseManifest } from "../packages/runtime/src/images/manifest.ts";
import { parseReference } from "../packages/runtime/src/images/reference.ts";
import { type Credentials, createAuthorizer } from "../packages/runtime/src/images/registry/auth.ts";
import { unexpectedStatus } from "../packages/runtime/src/images/registry/errors.ts";
import { hostsFor } from "../packages/runtime/src/images/registry/hosts.ts";
import { defaultTimeouts } from "../packages/runtime/src/images/registry/timeouts.ts";
import {
  createTransport,
  type HTTPRequest,
  type HTTPResponse,
} from "../packages/runtime/src/images/registry/transport.ts";

export interface PushOptions {
  /** An OCI layout in a tar file: a path, or its bytes. */
  archive: string | ByteSource;
  /** Where to: `127.0.0.1:5000/library/nginx:latest`. */
  reference: string;
  credentials?: Credentials;
  /** Upload blobs in pieces of so many bytes; otherwise each in one request. */
  chunkSize?: number;
  signal?: AbortSignal;
}

/**
 * Pushes the first image of an archive. Resolves with the digest of its manifest.
 * Throws with the registry's words for whatever it refuses.
 *
 * Source: opencontainers/distribution-spec, "Push".
 */
export async function pushArchive(options: PushOptions): Promise<string> {
  const { archive, credentials, chunkSize, signal = new AbortController().signal } = options;
  const reference = parseReference(options.reference);
  const base = hostsFor(reference.domain, {}).at(-1)?.base;
  if (!base) throw new Error(`no host for ${reference.domain}`);
  using transport = createTransport({ ...defaultTimeouts, response: 120_000 });
  const authorizer = createAuthorizer({ transport, credentials }, `repository:${reference.path}:pull,push`);

  const request = async (
    method: HTTPRequest["method"],
    url: URL,
    wanted: number[],
    rest: Partial<HTTPRequest> = {},
  ): Promise<HTTPResponse> => {
    const response = await authorizer.request({ method, url, signal, ...rest });
    if (!wanted.includes(response.status)) throw await unexpectedStatus(response);
    response.body.resume();
    return response;
  };
  const urlOf = (path: string) => new URL(`${reference.path}/${path}`, base);

  const pushBlob = async (spool: Spool, { digest, size }: Descriptor): Promise<void> => {
    const present = await request("HEAD", urlOf(`blobs/${digest}`), [200, 404]);
    if (present.status === 200) return;
    const file = spool.find(blobName(digest));
    if (!file || file.size !== size || file.digest !== digest)
      throw new Error(`the archive has no sound blob ${digest}`);
    const started = await request("POST", urlOf("blobs/uploads/"), [202], { headers: { "Content-Length": "0" } });
    let location = locationOf(started);
    for (let at = 0; chunkSize !== undefined && at < size; at += chunkSize) {
      const end = Math.min(at + chunkSize, size);
      const headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": String(end - at),
        "Content-Range": `${at}-${end - 1}`,
      };
      const body = createReadStream(file.path, { start: at, end: end - 1 });
      location = locationOf(await request("PATCH", location, [202], { headers, body }));
    }
    location.searchParams.set("digest", digest);
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(chunkSize === undefined ? size : 0),
    };
    const whole = chunkSize === undefined ? { body: createReadStream(file.path) } : {};
    await request("PUT", location, [201], { headers, ...whole });
  };

  const source = typeof archive === "string" ? createReadStream(archive) : archive;
  await using spool = await spoolArchive({ temporary: tmpdir() }, source, signal);
  const index = parseManifest(await spool.read("index.json", maxManifestSize));
  const first = index.kind === "index" ? index.manifests[0] : undefined;
  if (!first) throw new Error("the archive's index.json names no image");
  const bytes = await spool.read(blobName(first.digest), maxManifestSize);
  const manifest = parseManifest(bytes, first.mediaType);
  if (manifest.kind !== "image") throw new Error("pushing an image for several platforms is not supported");
  for (const blob of [manifest.config, ...manifest.layers]) await pushBlob(spool, blob);
  const tag = reference.tag ?? first.digest;
  await request("PUT", urlOf(`manifests/${tag}`), [201], { headers: { "Content-Type": first.mediaType }, body: bytes });
  return first.digest;
}

function locationOf({ headers, url }: HTTPResponse): URL {
  if (headers.location === undefined) throw new Error("the registry names no place to upload to");
  return new URL(headers.location, url);
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

if (import.meta.main) {
  const [archive, reference] = process.argv.slice(2);
  if (archive === undefined || reference === undefined) {
    console.error("usage: push-image.ts ARCHIVE HOST:PORT/NAME:TAG");
    process.exitCode = 2;
  } else {
    console.log(await pushArchive({ archive, reference }));
  }
}
