import { type Status, StatusError } from "@hawser/api";

/** Words for an error answer that carries no Status. Source: apimachinery pkg/api/errors NewGenericServerResponse */
const generic: Record<number, { reason: string; message: string }> = {
  400: { reason: "BadRequest", message: "the server rejected our request for an unknown reason" },
  401: { reason: "Unauthorized", message: "the server has asked for the client to provide credentials" },
  404: { reason: "NotFound", message: "the server could not find the requested resource" },
  405: { reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource" },
  409: { reason: "Conflict", message: "the server reported a conflict" },
  422: { reason: "Invalid", message: "the server rejected our request due to an error in our request" },
  429: {
    reason: "TooManyRequests",
    message: "the server has received too many requests and has asked us to try again later",
  },
  503: { reason: "ServiceUnavailable", message: "the server is currently unable to handle the request" },
  504: {
    reason: "Timeout",
    message: "the server was unable to return a response in the time allotted, but may still be processing the request",
  },
};

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
    ...words(code, text.trim()),
    details: { causes: [{ reason: "UnexpectedServerResponse", message: text.trim().slice(0, 2048) || "unknown" }] },
    code,
  });
}

function words(code: number, text: string): { reason?: string; message: string } {
  if (code === 403) return { reason: "Forbidden", message: text || "unknown" };
  if (code === 406) return { reason: "NotAcceptable", message: text || "unknown" };
  if (code === 415) return { reason: "UnsupportedMediaType", message: text || "unknown" };
  const known = generic[code];
  if (known) return known;
  if (code >= 500) {
    const message = `an error on the server (${JSON.stringify(text || "unknown")}) has prevented the request from succeeding`;
    return { reason: "InternalError", message };
  }
  return { message: `the server responded with the status code ${code} but did not return more information` };
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
