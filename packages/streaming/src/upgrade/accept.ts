import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { UpgradeError } from "../errors.ts";
import type { Refusal, UpgradeKind, UpgradeRequest } from "./types.ts";

/** Milliseconds a refused client may take to read its answer. */
const refusalMs = 5000;

/** Which upgrade a request asks for; undefined when it asks for none that we know. Matched as loosely as the peers do. */
export function upgradeKind(request: IncomingMessage): UpgradeKind | undefined {
  const connection = request.headers.connection?.toLowerCase() ?? "";
  const upgrade = request.headers.upgrade?.toLowerCase() ?? "";
  if (!connection.includes("upgrade")) return undefined;
  if (upgrade.includes("spdy/3.1")) return "spdy";
  return upgrade.includes("websocket") ? "websocket" : undefined;
}

/**
 * Answers an upgrade with an ordinary response and closes. The connection is never used again (CVE-2018-1002105):
 * what the client still sends is thrown away.
 */
export function refuseUpgrade({ socket }: UpgradeRequest, refusal: Refusal): void {
  const body = Buffer.from(refusal.body);
  const headers: Record<string, string | string[]> = {
    ...(refusal.contentType && { "Content-Type": refusal.contentType }),
    ...refusal.headers,
    Date: new Date().toUTCString(),
    "Content-Length": String(body.byteLength),
    Connection: "close",
  };
  endWith(socket, Buffer.concat([responseHead(refusal.statusCode, headers), body]));
}

/** Sends the last bytes of a connection, and sees that it closes. */
export function endWith(socket: Duplex, bytes?: Uint8Array): void {
  socket.on("error", () => {}); // the client may be gone: there is nobody to tell
  socket.end(bytes);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), refusalMs);
  socket.once("close", () => clearTimeout(timer));
}

/** The status line and headers of a response, with the empty line behind them. */
export function responseHead(statusCode: number, headers: Record<string, string | string[]>): Buffer {
  const lines = [`HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode] ?? "Unknown"}`];
  for (const [name, values] of Object.entries(headers)) {
    for (const value of [values].flat()) lines.push(`${name}: ${value.replaceAll(/[\r\n\0]/g, " ")}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** A refusal as Go's http.Error writes it. */
export function plainRefusal(statusCode: number, message: string, headers: Refusal["headers"] = {}): Refusal {
  return {
    statusCode,
    contentType: "text/plain; charset=utf-8",
    body: `${message}\n`,
    headers: { "X-Content-Type-Options": "nosniff", ...headers },
  };
}

/** Refuses, and returns the error that says so to our own side. */
export function refused(upgrade: UpgradeRequest, refusal: Refusal): UpgradeError {
  refuseUpgrade(upgrade, refusal);
  const { statusCode, body } = refusal;
  return new UpgradeError(body.trim() || `answered ${statusCode}`, { statusCode, headers: {}, body });
}
