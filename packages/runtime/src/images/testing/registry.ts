import type { IncomingMessage, ServerResponse } from "node:http";
import { digestOf } from "../digest.ts";
import type { TestImage } from "./image.ts";
import { httpServer, type TestServer } from "./server.ts";

export interface TestRegistry extends TestServer {
  /** `METHOD /path?query`, in the order they came. */
  requests: string[];
  /** Makes an image known, by its digest and by a tag. */
  add(repository: string, tag: string, image: TestImage): void;
  addManifest(repository: string, tag: string, bytes: Buffer, mediaType: string): void;
  blobs: Map<string, Buffer>;
}

/** True when it has answered. */
export type Intervention = (request: IncomingMessage, response: ServerResponse) => boolean;

/** The pull side of a registry, in memory. `before` may answer in its place. */
export async function testRegistry(before: Intervention = () => false): Promise<TestRegistry> {
  const manifests = new Map<string, { bytes: Buffer; mediaType: string }>();
  const blobs = new Map<string, Buffer>();
  const requests: string[] = [];
  const server = await httpServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (before(request, response)) return;
    const [, repository = "", kind = "", what = ""] =
      new URL(request.url ?? "/", "http://x").pathname.match(/^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/) ?? [];
    const manifest = manifests.get(`${repository}:${what}`);
    const bytes = kind === "manifests" ? manifest?.bytes : blobs.get(what);
    if (!bytes) {
      response.writeHead(404).end(JSON.stringify({ errors: [{ code: "NAME_UNKNOWN", message: "not known" }] }));
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.writeHead(start > 0 ? 206 : 200, {
      "Content-Type": manifest?.mediaType ?? "application/octet-stream",
      "Content-Length": bytes.length - start,
      ...(start > 0 && { "Content-Range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
      ...(manifest && { "Docker-Content-Digest": digestOf(bytes) }),
    });
    response.end(request.method === "HEAD" ? undefined : bytes.subarray(start));
  });
  const addManifest: TestRegistry["addManifest"] = (repository, tag, bytes, mediaType) => {
    for (const what of [tag, digestOf(bytes)]) manifests.set(`${repository}:${what}`, { bytes, mediaType });
  };
  return {
    ...server,
    requests,
    blobs,
    addManifest,
    add(repository, tag, { config, manifest, layers }) {
      addManifest(repository, tag, manifest, "application/vnd.oci.image.manifest.v1+json");
      for (const blob of [config, ...layers]) blobs.set(digestOf(blob), blob);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
