import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { UpgradeError } from "../errors.ts";
import { socketTransport, type Transport } from "../transport.ts";
import { plainRefusal, refused, responseHead, upgradeKind } from "../upgrade/accept.ts";
import { dialUpgrade } from "../upgrade/dial.ts";
import type { DialTarget, Refusal, UpgradeRequest } from "../upgrade/types.ts";

const protocolHeader = "X-Stream-Protocol-Version";

/** A transport on which SPDY may start, and the subprotocol both sides agreed on. */
export interface SpdyUpgrade {
  transport: Transport;
  protocol: string;
}

/**
 * Answers a SPDY upgrade: 101 with the first of the client's protocols that is ours, or the refusal the real servers give.
 * Throws UpgradeError after it has refused.
 *
 * Source: kubernetes/apimachinery pkg/util/httpstream/httpstream.go (Handshake), spdy/upgrade.go
 */
export function acceptSpdy(upgrade: UpgradeRequest, protocols: readonly string[]): SpdyUpgrade {
  const agreed = negotiate(upgrade.request, protocols);
  if (typeof agreed !== "string") throw refused(upgrade, agreed);
  if (upgradeKind(upgrade.request) !== "spdy") {
    const { connection = "", upgrade: to = "" } = upgrade.request.headers;
    const got = `map[Connection:[${connection}] Upgrade:[${to}]]`;
    throw refused(upgrade, plainRefusal(400, `unable to upgrade: missing upgrade headers in request: ${got}`));
  }
  const transport = socketTransport(upgrade.socket, upgrade.head);
  transport.write([responseHead(101, { Connection: "Upgrade", Upgrade: "SPDY/3.1", [protocolHeader]: agreed })]);
  return { transport, protocol: agreed };
}

function negotiate({ headers }: IncomingMessage, server: readonly string[]): string | Refusal {
  const header = headers[protocolHeader.toLowerCase()];
  if (header === undefined) {
    const count = Object.keys(headers).filter((name) => name !== "host").length;
    return plainRefusal(
      400,
      `unable to upgrade: header ${protocolHeader} does not exist in request with ${count} headers`,
    );
  }
  const values = [header].flat();
  // Node joins repeated lines with ", ".
  const client = values
    .flatMap((value) => value.split(","))
    .map((value) => value.trim())
    .filter(Boolean);
  if (client.length === 0) {
    return plainRefusal(
      400,
      `unable to upgrade: header ${protocolHeader} contains [${values.join(" ")}], but no valid protocols`,
    );
  }
  const agreed = client.find((protocol) => server.includes(protocol));
  if (agreed) return agreed;
  const message = `unable to negotiate protocol: client supports [${client.join(" ")}], server accepts [${server.join(" ")}]`;
  return plainRefusal(403, `unable to upgrade: ${message}`, { "X-Accepted-Stream-Protocol-Versions": [...server] });
}

/** Dials a SPDY upgrade, offering the protocols most preferred first. `socket` is what the transport goes over. Throws as dialUpgrade does. */
export async function dialSpdy(
  target: DialTarget,
  protocols: readonly string[],
): Promise<SpdyUpgrade & { socket: Duplex }> {
  const headers = { ...target.headers, Connection: "Upgrade", Upgrade: "SPDY/3.1", [protocolHeader]: [...protocols] };
  const answer = await dialUpgrade({ ...target, headers, method: "POST" });
  const upgrade = answer.headers.upgrade?.toLowerCase() ?? "";
  const agreed = answer.headers[protocolHeader.toLowerCase()] ?? "";
  const protocol = [agreed].flat().join(", ");
  if (!upgrade.includes("spdy/3.1") || (protocol !== "" && !protocols.includes(protocol))) {
    answer.socket.destroy();
    const what = upgrade.includes("spdy/3.1")
      ? `subprotocol ${JSON.stringify(protocol)}`
      : `upgrade to ${JSON.stringify(upgrade)}`;
    throw new UpgradeError(`the server chose ${what}, which was not offered`, {
      statusCode: 101,
      headers: answer.headers,
      body: "",
    });
  }
  return { transport: socketTransport(answer.socket, answer.head), protocol, socket: answer.socket };
}
