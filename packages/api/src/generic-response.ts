/** Reasons and texts for HTTP codes whatever the server said. */
const known: Record<number, { reason: string; message: string }> = {
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

/** Of these codes the server's own text says more than any of ours. */
const told: Record<number, string> = { 403: "Forbidden", 406: "NotAcceptable", 415: "UnsupportedMediaType" };

/**
 * The reason and text of an HTTP error that came without a Status. `said` is what the server answered in plain text.
 * No reason for a code below 500 that has none.
 *
 * Source: kubernetes/apimachinery pkg/api/errors/errors.go NewGenericServerResponse
 */
export function genericResponse(code: number, said: string): { reason?: string; message: string } {
  const text = said || "unknown";
  if (told[code]) return { reason: told[code], message: text };
  if (known[code]) return known[code];
  if (code < 500) {
    return { message: `the server responded with the status code ${code} but did not return more information` };
  }
  const message = `an error on the server (${JSON.stringify(text)}) has prevented the request from succeeding`;
  return { reason: "InternalError", message };
}
