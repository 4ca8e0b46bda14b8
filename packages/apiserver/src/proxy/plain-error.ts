import { StatusError } from "@hawser/api";

/**
 * A plain 500 with nothing but a message: what the real server answers for an error it has no Status for.
 *
 * Source: kubernetes/apiserver pkg/endpoints/handlers/responsewriters/status.go
 */
export function plainError(message: string, cause?: unknown): StatusError {
  return new StatusError(
    { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, code: 500 },
    { cause },
  );
}
