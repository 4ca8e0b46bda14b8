import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { UpgradeRequest } from "@hawser/streaming";
import type { ClusterConfig } from "../config/cluster-config.ts";
import { authority, clientCertificate, clientKey, serverCertificate, serverKey } from "./certificates.ts";

export interface FakeServer extends AsyncDisposable {
  config: ClusterConfig;
  /** Method and path of each request, in the order they came. */
  requests: string[];
  /** How many connections were accepted. */
  connections: number;
}

/** An https server on a free port, with a config that trusts it. */
export async function fakeServer(
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  onUpgrade?: (upgrade: UpgradeRequest) => Promise<void>,
): Promise<FakeServer> {
  const requests: string[] = [];
  const handle: RequestListener = (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    listener(request, response);
  };
  const options = {
    cert: serverCertificate,
    key: serverKey,
    ca: authority,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(options, handle);
  const fake = { connections: 0 };
  server.on("secureConnection", () => {
    fake.connections++;
  });
  const upgrades: Promise<void>[] = [];
  if (onUpgrade) {
    server.on("upgrade", (request, socket, head) => {
      requests.push(`${request.method} ${request.url}`);
      upgrades.push(onUpgrade({ request, socket, head }));
    });
  }
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // listening on TCP
  return {
    config: {
      server: new URL(`https://127.0.0.1:${port}`),
      namespace: "default",
      tls: { ca: authority, cert: clientCertificate, key: clientKey },
      headers: async () => ({}),
    },
    requests,
    get connections() {
      return fake.connections;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
      await Promise.all(upgrades);
    },
  };
}

export function answerJSON(response: ServerResponse, value: unknown, statusCode = 200): void {
  response.writeHead(statusCode, { "Content-Type": "application/json" });
  response.end(JSON.stringify(value));
}

/** The whole body of a request, as text. */
export async function bodyText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) parts.push(chunk);
  return Buffer.concat(parts).toString("utf8");
}
