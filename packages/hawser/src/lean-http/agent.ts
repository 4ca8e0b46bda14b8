import { connect, isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectSecure } from "node:tls";

/** As Node's agents have them. */
export interface AgentOptions extends ConnectionOptions {
  keepAlive?: boolean;
  maxFreeSockets?: number;
}

/** Connections of one process to one server, kept while they are idle. */
export class Agent {
  readonly options: AgentOptions;
  /** With what takes them out of here. */
  readonly #idle = new Map<Socket, () => void>();
  readonly #busy = new Set<Socket>();

  constructor(options: AgentOptions = {}) {
    this.options = options;
  }

  /** The connection that was idle for the shortest time. */
  takeIdle(): Socket | undefined {
    for (const [socket, release] of [...this.#idle].reverse()) {
      release();
      if (!socket.destroyed && socket.writable) return socket;
    }
    return undefined;
  }

  /** A connection that destroy() closes, until it is let go or given back. */
  hold(socket: Socket): void {
    this.#busy.add(socket);
  }

  letGo(socket: Socket): void {
    this.#busy.delete(socket);
  }

  /** Takes back a connection whose answer was read. */
  giveBack(socket: Socket): void {
    const { keepAlive, maxFreeSockets = 256 } = this.options;
    this.letGo(socket);
    if (!keepAlive || this.#idle.size >= maxFreeSockets || socket.destroyed) {
      socket.destroy();
      return;
    }
    const drop = () => void socket.destroy(); // closed, failed, or with bytes that nobody asked for
    const forget = () => void this.#idle.delete(socket);
    socket.on("data", drop).on("end", drop).on("error", drop).on("close", forget);
    socket.resume();
    socket.unref();
    this.#idle.set(socket, () => {
      forget();
      socket.off("data", drop).off("end", drop).off("error", drop).off("close", forget);
      socket.ref();
    });
  }

  /** Closes them all. */
  destroy(): void {
    for (const socket of [...this.#idle.keys(), ...this.#busy]) socket.destroy();
  }
}

/** Where a connection goes, and how TLS is done there. */
export interface Destination extends ConnectionOptions {
  host: string;
  port: number;
  localAddress?: string | undefined;
}

/** Begins a connection; the socket takes what is written before it is there. */
export function connectTo({ secure, destination }: { secure: boolean; destination: Destination }): Socket {
  const { host, port, localAddress, ...tls } = destination;
  const way = { host, port, noDelay: true, ...(localAddress && { localAddress }) };
  if (!secure) return connect(way);
  // Its types know nothing of what it passes on to the socket's own connect().
  return connectSecure({ servername: isIP(host) ? "" : host, ...tls, ...way } as ConnectionOptions);
}
