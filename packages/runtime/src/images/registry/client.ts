import type { Logger } from "@hawser/trace";
import { digestOf } from "../digest.ts";
import { type Descriptor, manifestTypes, maxManifestSize } from "../manifest.ts";
import { formatReference, isSHA256, type Reference } from "../reference.ts";
import { type Authorizer, type Credentials, createAuthorizer } from "./auth.ts";
import {
  AuthorizationError,
  ConnectionError,
  CorruptContentError,
  StatusCodeError,
  unexpectedStatus,
} from "./errors.ts";
import type { RegistryHost } from "./hosts.ts";
import type { HTTPResponse, Transport } from "./transport.ts";

/** What a name stands for, at this moment. */
export interface Resolved {
  digest: string;
  mediaType: string;
  /** The manifest itself, where resolving had to fetch it. */
  bytes?: Buffer;
}

/** One repository, as the servers that may have it show it. */
export interface Repository {
  /** Finds what the reference stands for. Throws NotFoundError, AuthorizationError, StatusCodeError or ConnectionError. */
  resolve(signal: AbortSignal): Promise<Resolved>;
  /** A manifest or index; its digest is checked. */
  manifest(descriptor: Pick<Descriptor, "digest" | "mediaType">, signal: AbortSignal): Promise<Buffer>;
  /** A blob from `offset` on; whether the server heeded the offset shows in the answer (206 or 200). Not checked. */
  blob(descriptor: Descriptor, offset: number, signal: AbortSignal): Promise<HTTPResponse>;
}

/** The registry has no such thing. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}

interface Deps {
  transport: Transport;
  log: Logger;
  credentialsFor(host: RegistryHost): Promise<Credentials | undefined>;
}

/**
 * The client's side of the OCI distribution protocol. Each request goes to the hosts in order until one has it; the
 * error is the one of the host that got furthest, as in containerd: a plain "no" says more than a failed connection.
 *
 * Source: opencontainers/distribution-spec, "Pull"; containerd core/remotes/docker/resolver.go.
 */
export function openRepository(deps: Deps, reference: Reference, hosts: readonly RegistryHost[]): Repository {
  const { log } = deps;
  const name = formatReference(reference);
  const authorizers = new Map<RegistryHost, Promise<Authorizer>>();
  const authorizerFor = (host: RegistryHost) => {
    const known = authorizers.get(host);
    if (known) return known;
    const fresh = deps
      .credentialsFor(host)
      .then((credentials) => createAuthorizer({ ...deps, credentials }, `repository:${reference.path}:pull`));
    authorizers.set(host, fresh);
    return fresh;
  };

  const send = async (
    host: RegistryHost,
    method: "GET" | "HEAD",
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<HTTPResponse> => {
    const url = new URL(`${reference.path}/${path}`, host.base);
    if (host.mirrorOf !== undefined) url.searchParams.set("ns", host.mirrorOf);
    log.at(4, "registry request", { method, url: url.href });
    const authorizer = await authorizerFor(host);
    const response = await authorizer.request({ method, url, headers, signal }).catch((cause: unknown) => {
      if (!(cause instanceof ConnectionError)) throw cause;
      throw new ConnectionError(`failed to do request: ${cause.message}`, { cause });
    });
    if (response.status >= 200 && response.status < 300) return response;
    if (response.status === 404) {
      response.body.destroy();
      throw new NotFoundError(`content at ${url.href} not found: not found`);
    }
    throw await unexpectedStatus(response);
  };

  /** Asks the hosts in order. */
  const firstOf = async <T>(signal: AbortSignal, ask: (host: RegistryHost) => Promise<T>): Promise<T> => {
    let best: { error: unknown; rank: number } | undefined;
    for (const host of hosts) {
      try {
        return await ask(host);
      } catch (error) {
        signal.throwIfAborted();
        log.at(2, "registry host failed", { host: host.base.host, error });
        if (!best || rankOf(error) > best.rank) best = { error, rank: rankOf(error) };
      }
    }
    throw best?.error ?? new Error(`no hosts for ${reference.domain}`);
  };

  const manifestFrom = async (host: RegistryHost, what: string, accept: string, signal: AbortSignal) => {
    const response = await send(host, "GET", `manifests/${what}`, { Accept: accept }, signal);
    const bytes = await readManifest(response, name);
    return { bytes, mediaType: mediaTypeOf(response) };
  };

  return {
    async resolve(signal) {
      const what = reference.digest ?? reference.tag ?? "";
      return await firstOf(signal, async (host) => {
        try {
          const head = await send(host, "HEAD", `manifests/${what}`, { Accept: acceptAll }, signal);
          head.body.resume();
          const digest = reference.digest ?? String(head.headers["docker-content-digest"] ?? "");
          if (isSHA256(digest)) return { digest, mediaType: mediaTypeOf(head) };
          const { bytes, mediaType } = await manifestFrom(host, what, acceptAll, signal);
          return { digest: digestOf(bytes), mediaType, bytes };
        } catch (error) {
          if (error instanceof NotFoundError) throw new NotFoundError(`${name}: not found`, { cause: error });
          if (!(error instanceof AuthorizationError)) throw error;
          throw new AuthorizationError(
            `pull access denied, repository does not exist or may require authorization: ${error.message}`,
            { cause: error },
          );
        }
      });
    },

    async manifest({ digest, mediaType }, signal) {
      return await firstOf(signal, async (host) => {
        const { bytes } = await manifestFrom(host, digest, `${mediaType || manifestTypes[2]}, */*;q=0.5`, signal);
        const found = digestOf(bytes);
        if (found !== digest) throw new CorruptContentError(commitError("manifest", digest, found));
        return bytes;
      });
    },

    async blob({ digest }, offset, signal) {
      const headers: Record<string, string> = offset > 0 ? { Range: `bytes=${offset}-` } : {};
      return await firstOf(signal, async (host) => {
        try {
          return await send(host, "GET", `blobs/${digest}`, headers, signal);
        } catch (error) {
          if (!(error instanceof NotFoundError)) throw error;
          throw new NotFoundError(`could not fetch content ${digest} from remote: not found`, { cause: error });
        }
      });
    },
  };
}

/** The text for content that is not what its digest says. Source: containerd plugins/content/local/writer.go. */
export function commitError(kind: "manifest" | "config" | "layer", expected: string, found: string): string {
  return `failed commit on ref "${kind}-${expected}": unexpected commit digest ${found}, expected ${expected}: failed precondition`;
}

const acceptAll = [...manifestTypes, "*/*"].join(", ");

function rankOf(error: unknown): number {
  if (error instanceof CorruptContentError) return 4;
  if (error instanceof StatusCodeError) return 3;
  return error instanceof NotFoundError ? 2 : 1;
}

function mediaTypeOf({ headers }: HTTPResponse): string {
  return (headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
}

async function readManifest({ body }: HTTPResponse, name: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    parts.push(chunk);
    size += chunk.length;
    if (size > maxManifestSize) throw new Error(`rejecting manifest of more than ${maxManifestSize} bytes for ${name}`);
  }
  return Buffer.concat(parts);
}
