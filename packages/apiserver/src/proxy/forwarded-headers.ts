import type { IncomingMessage } from "node:http";

/** Said for this hop alone; whoever dials the next one says it anew. */
const hopHeaders = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** The client's secrets, and what it may not say about itself: never for a kubelet. */
const privateHeaders = /^(authorization|cookie|proxy-.*|x-remote-.*|impersonate-.*)$/;
/** The stream protocols: proxyUpgrade carries or changes them. */
const upgradeHeaders = /^(sec-websocket-.*|x-stream-protocol-version)$/;

/** What of a client's headers goes on to the kubelet (of HTTP/2, without the pseudo headers), with the client's address added to X-Forwarded-For. */
export function forwardedHeaders({
  rawHeaders,
  socket,
}: Pick<IncomingMessage, "rawHeaders" | "socket">): Record<string, string | string[]> {
  const headers: Record<string, string[]> = {};
  for (const [name, value] of pairs(rawHeaders)) {
    const key = name.toLowerCase();
    if (key.startsWith(":") || hopHeaders.has(key) || privateHeaders.test(key) || upgradeHeaders.test(key)) continue;
    headers[key] = [...(headers[key] ?? []), value];
  }
  const before = headers["x-forwarded-for"] ?? [];
  const client = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "");
  const path = [...before, ...(client ? [client] : [])].join(", ");
  const single = Object.entries(headers).map(([name, values]) => [
    name,
    values.length === 1 ? (values[0] ?? "") : values,
  ]);
  return { ...Object.fromEntries(single), ...(path && { "x-forwarded-for": path }) };
}

/**
 * A request's headers for the log, as Go prints them: `map[Connection:[Upgrade] Upgrade:[SPDY/3.1]]`. Secrets are left out,
 * and so is what `extra` says better.
 */
export function describeHeaders(rawHeaders: string[], extra: Record<string, string | string[]>): string {
  const all = new Map<string, string[]>();
  for (const [name, value] of pairs(rawHeaders)) {
    const key = canonical(name);
    if (privateHeaders.test(name.toLowerCase()) || name.toLowerCase() === "host") continue;
    all.set(key, [...(all.get(key) ?? []), redact(value)]);
  }
  for (const [name, values] of Object.entries(extra)) all.set(canonical(name), [values].flat().map(redact));
  const sorted = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${sorted.map(([name, values]) => `${name}:[${values.join(" ")}]`).join(" ")}]`;
}

/** A token among the subprotocols was taken out before; this is for the day it was not. */
function redact(value: string): string {
  return value.replaceAll(/(base64url\.bearer\.authorization\.k8s\.io\.)[^,\s]*/g, "$1<masked>");
}

function canonical(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}

function* pairs(rawHeaders: string[]): Generator<[name: string, value: string]> {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    yield [rawHeaders[index] ?? "", rawHeaders[index + 1] ?? ""];
}
