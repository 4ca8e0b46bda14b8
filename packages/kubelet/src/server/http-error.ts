import { Code, CRIError, isNotFound } from "@hawser/cri";

/** Answers a request with this code and, as plain text, this message. */
export class HTTPError extends Error {
  override readonly name = "HTTPError";
  readonly code: number;
  readonly headers: Record<string, string>;

  constructor(code: number, message: string, options: ErrorOptions & { headers?: Record<string, string> } = {}) {
    super(message, options);
    this.code = code;
    this.headers = options.headers ?? {};
  }
}

/**
 * The one place where an error becomes an HTTP answer.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/errors.go; kubernetes pkg/kubelet/server/server.go
 */
export function httpError(error: unknown): HTTPError {
  if (error instanceof HTTPError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (isNotFound(error)) return new HTTPError(404, message, { cause: error });
  if (error instanceof CRIError && error.code === Code.ResourceExhausted) {
    return new HTTPError(429, message, { cause: error, headers: { "Retry-After": "60" } });
  }
  if (error instanceof CRIError && error.code === Code.DeadlineExceeded) {
    // No colon in it: kubectl takes a text with one for YAML, for a Status without a message, and says nothing then.
    return new HTTPError(500, "the container runtime has not answered in time (DeadlineExceeded)", { cause: error });
  }
  return new HTTPError(500, message, { cause: error });
}
