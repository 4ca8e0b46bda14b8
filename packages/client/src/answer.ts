import { genericResponse, type Status, StatusError } from "@hawser/api";

/** True for a Status object, which is what the API answers where it has no other object to answer with. */
export function isStatus(value: unknown): value is Status {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "Status";
}

/**
 * The error of an answer that is none of 2xx: the Status in its body, or, where there is none,
 * the words client-go finds for its code. `text` is the body, as far as it was read.
 */
export function answerError(code: number, text: string): StatusError {
  const status = parseStatus(text);
  if (status) return new StatusError({ ...status, code: status.code ?? code });
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    ...genericResponse(code, text.trim()),
    details: { causes: [{ reason: "UnexpectedServerResponse", message: text.trim().slice(0, 2048) || "unknown" }] },
    code,
  });
}

function parseStatus(text: string): Status | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isStatus(value) && value.status === "Failure" ? value : undefined;
  } catch {
    return undefined; // not JSON: the words for the code will do
  }
}
