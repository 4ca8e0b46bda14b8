import type { HTTPResponse } from "./transport.ts";

/** How much of an error answer's body is read, bytes. */
const maxErrorBody = 64 * 1024;

/** No answer came: refused, unreachable, silent, unverified, cut off. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** The registry answered with a status that is no success. */
export class StatusCodeError extends Error {
  override readonly name = "StatusCodeError";
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** The registry wants other credentials than ours, or some at all. */
export class AuthorizationError extends Error {
  override readonly name = "AuthorizationError";
}

/** What was received is not what its digest or size said. */
export class CorruptContentError extends Error {
  override readonly name = "CorruptContentError";
}

/**
 * The error for an unexpected status, with the registry's own words where it sent some.
 * Source: containerd core/remotes/errors; distribution-spec, "Error Codes".
 */
export async function unexpectedStatus(response: HTTPResponse): Promise<StatusCodeError> {
  const said = serverMessage(await readBounded(response));
  const message = `unexpected status from ${response.method} request to ${withoutQuery(response.url)}: ${response.statusLine}`;
  return new StatusCodeError(said ? `${message} - Server message: ${said}` : message, response.status);
}

/** Queries of redirected blobs carry signatures: they are no matter for a log. */
export function withoutQuery(url: URL): string {
  return url.origin + url.pathname;
}

/** At most 64 KiB of a body; what cannot be read counts as empty. */
async function readBounded({ body }: HTTPResponse): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      parts.push(chunk);
      size += chunk.length;
      if (size >= maxErrorBody) break;
    }
  } catch {
    return ""; // the status tells enough
  } finally {
    body.destroy();
  }
  return Buffer.concat(parts).toString("utf8");
}

function serverMessage(body: string): string | undefined {
  try {
    const [first] = (JSON.parse(body) as { errors?: { code?: unknown; message?: unknown }[] }).errors ?? [];
    if (!first) return undefined;
    return `${String(first.code ?? "unknown").toLowerCase()}: ${String(first.message ?? "")}`.slice(0, 500);
  } catch {
    return undefined;
  }
}
