import http, { type AgentOptions, type ClientRequestArgs } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect } from "node:tls";
import { dialThrough } from "./dial.ts";

type Created = (error: Error | null, socket: Duplex) => void;

/** An agent whose every connection goes through a proxy. Its options are those of node's own. */
export function proxyAgent(
  proxy: URL,
  { secure, ...options }: AgentOptions & ConnectionOptions & { secure: boolean },
): http.Agent {
  return secure ? new SecureProxyAgent(proxy, options) : new PlainProxyAgent(proxy, options);
}

class PlainProxyAgent extends http.Agent {
  readonly #proxy: URL;

  constructor(proxy: URL, options: AgentOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(options: ClientRequestArgs, created: Created): undefined {
    dialThrough(this.#proxy, destination(options, 80)).then((socket) => created(null, socket), refuse(created));
  }
}

class SecureProxyAgent extends https.Agent {
  readonly #proxy: URL;

  constructor(proxy: URL, options: https.AgentOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(options: https.RequestOptions, created: Created): undefined {
    const secure = (socket: Duplex) => {
      // `path` is the request's, which tls would take for a socket's.
      const target = { ...options, path: undefined, socket } as ConnectionOptions;
      created(null, connect(target));
    };
    dialThrough(this.#proxy, destination(options, 443)).then(secure, refuse(created));
  }
}

function destination({ host, port }: ClientRequestArgs, standard: number): { host: string; port: number } {
  return { host: (host ?? "localhost").replace(/^\[|\]$/g, ""), port: Number(port) || standard };
}

/** node's types want a socket beside the error, which node itself does not look at. */
function refuse(created: Created): (error: unknown) => void {
  return (error) => (created as (error: unknown) => void)(error);
}
