import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { failure } from "@hawser/api";
import { sinkOf } from "../node.ts";
import { endWith, refuseUpgrade } from "../upgrade/accept.ts";
import { requestUpgrade, type UpgradeAnswered } from "../upgrade/dial.ts";
import { dialErrorText } from "../upgrade/dial-error.ts";
import type { DialTarget, UpgradeRequest } from "../upgrade/types.ts";
import { offeredProtocols } from "../websocket/accept.ts";
import type { BackendInfo, ProxyOptions } from "./types.ts";

/** Milliseconds that handing a refusal on may take. */
const relayMs = 10_000;

/**
 * Headers that are for this hop alone: connection management, and who the caller said or proved to be. Nor does a next hop compress a
 * WebSocket: no Kubernetes server does, and what passes is looked into for its end.
 */
const dropped =
  /^(host|authorization|proxy-.*|cookie|content-length|transfer-encoding|keep-alive|te|trailer|sec-websocket-extensions|x-remote-.*|impersonate-.*)$/;

type Headers = Record<string, string | string[]>;

/** The headers of a client's request as the next hop may see them, the target's own over them. */
export function forwardedHeaders(upgrade: UpgradeRequest, target: DialTarget): Headers {
  const { request, socket } = upgrade;
  const headers: Headers = {};
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    if (values && !dropped.test(name)) headers[name] = values;
  }
  const offered = offeredProtocols(upgrade);
  if (offered.length > 0) headers["sec-websocket-protocol"] = offered.join(", ");
  else delete headers["sec-websocket-protocol"];
  const from = "remoteAddress" in socket && typeof socket.remoteAddress === "string" ? [socket.remoteAddress] : [];
  const chain = [...(request.headersDistinct["x-forwarded-for"] ?? []), ...from];
  if (chain.length > 0) headers["x-forwarded-for"] = chain.join(", ");
  return { ...headers, ...target.headers };
}

type Upgraded = Extract<UpgradeAnswered, { upgraded: true }>;

/**
 * Asks the next hop for the upgrade. Undefined when there is none: the client has been answered then, and its connection
 * is closed (CVE-2018-1002105). An answer of 400 or more is handed on as it is; any other is an error, so that no
 * redirect of a node reaches a client with credentials (CVE-2020-8559).
 *
 * Source: kubernetes/apimachinery pkg/util/proxy/upgradeaware.go
 */
export async function askBackend(
  upgrade: UpgradeRequest,
  { target, onBackend, log }: ProxyOptions,
  request: { method: "GET" | "POST"; headers: Headers; way: BackendInfo["way"] },
): Promise<Upgraded | undefined> {
  const { method, headers, way } = request;
  let answer: UpgradeAnswered;
  try {
    answer = await requestUpgrade({ ...target, method, headers });
  } catch (error) {
    log.warn("cannot reach the backend", { backend: target.url.origin, error });
    refuse(upgrade, dialFailure(error, target.url).message);
    return undefined;
  }
  const { response } = answer;
  const statusCode = response.statusCode ?? 0;
  onBackend?.({ way, statusCode, ...addresses(answer.upgraded ? answer.socket : response.socket) });
  if (answer.upgraded) return answer;
  log.at(2, "the backend refused the upgrade", { backend: target.url.origin, statusCode });
  if (statusCode >= 400) {
    await relay(response, upgrade);
  } else {
    refuse(upgrade, `invalid upgrade response: status code ${statusCode}`);
    response.destroy();
  }
  return undefined;
}

/** Answers with a Status of our own. */
export function refuse(upgrade: UpgradeRequest, message: string): void {
  const { status } = failure({ code: 500, reason: "", message });
  refuseUpgrade(upgrade, { statusCode: 500, contentType: "application/json", body: `${JSON.stringify(status)}\n` });
}

/** The head of an answer, as it came. `skip` names headers, lower-case, that are left out. */
export function headOf(
  { statusCode, statusMessage, rawHeaders }: IncomingMessage,
  skip: ReadonlySet<string> = new Set(),
): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    if (!skip.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[index + 1]}`);
  }
  return `${lines.join("\r\n")}\r\n`;
}

const perConnection = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade"]);

async function relay(response: IncomingMessage, { socket }: UpgradeRequest): Promise<void> {
  const client = sinkOf(socket);
  const timer = setTimeout(() => {
    response.destroy();
    socket.destroy();
  }, relayMs);
  try {
    await client.write(Buffer.from(`${headOf(response, perConnection)}Connection: close\r\n\r\n`, "latin1"));
    for await (const chunk of response) await client.write(chunk);
  } catch {
    // One side broke off: the other sees it by the close.
  }
  clearTimeout(timer);
  response.destroy();
  endWith(socket);
}

/** The cause in the words of Go's dialer, which people search for. */
export function dialFailure(cause: unknown, url: URL): Error {
  const host = url.port ? url.host : `${url.host}:${url.protocol === "http:" ? 80 : 443}`;
  const why = dialErrorText(cause, host) ?? (cause instanceof Error ? cause.message : String(cause));
  return new Error(`error dialing backend: ${why}`, { cause });
}

/** The two ends of a connection, where it is one of a network. */
export function addresses(socket: Duplex): Partial<BackendInfo> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket as Duplex & Partial<BackendInfo>;
  return { localAddress, localPort, remoteAddress, remotePort };
}
