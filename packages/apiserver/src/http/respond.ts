import type { ServerResponse } from "node:http";
import { internalError, type Status, StatusError } from "@hawser/api";
import type { Response } from "../request.ts";

export interface Answer {
  code: number;
  contentType: string;
  body: string | Buffer;
  headers?: Record<string, string | string[]>;
}

/** JSON as the real server sends it: one line and its end. */
export function jsonAnswer(value: unknown, code = 200, contentType = "application/json"): Answer {
  return { code, contentType, body: `${JSON.stringify(value)}\n` };
}

export function textAnswer(text: string, code = 200): Answer {
  return {
    code,
    contentType: "text/plain; charset=utf-8",
    body: text,
    headers: code >= 400 ? { "X-Content-Type-Options": "nosniff" } : {},
  };
}

/** What a path that leads nowhere answers. */
export const pageNotFound: Answer = textAnswer("404 page not found\n", 404);

/** Sends a whole answer; does nothing when the client is gone. */
export function send(response: Response, { code, contentType, body, headers = {} }: Answer): void {
  if (response.headersSent || response.writableEnded || response.destroyed) return;
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  // Http2ServerResponse and ServerResponse have these in common, but TypeScript cannot call a union of overloads.
  const plain = response as ServerResponse;
  plain.writeHead(code, {
    "Audit-Id": crypto.randomUUID(),
    "Cache-Control": "no-cache, private",
    "Content-Type": contentType,
    "Content-Length": bytes.byteLength,
    ...headers,
  });
  plain.end(bytes);
}

/** What a client is told of an error: the Status thrown, or an internal error. */
export function statusOf(error: unknown): Status {
  return error instanceof StatusError ? error.status : internalError(error).status;
}

export function statusAnswer(status: Status): Answer {
  const retry = status.details?.retryAfterSeconds;
  return {
    ...jsonAnswer({ kind: "Status", apiVersion: "v1", metadata: {}, ...status }, status.code ?? 500),
    ...(retry !== undefined && { headers: { "Retry-After": String(retry) } }),
  };
}

/** Resolves when the response has room again, is gone, or `signal` is aborted. */
export function drained(response: Response, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const plain = response as ServerResponse;
    const done = () => {
      plain.off("drain", done);
      plain.off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (plain.destroyed || plain.closed || signal.aborted) return resolve();
    plain.once("drain", done);
    plain.once("close", done);
    signal.addEventListener("abort", done, { once: true });
  });
}
