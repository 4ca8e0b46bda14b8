// The part of Node's HTTP client that one exec needs, in a third of the time that Node's takes to load and to be compiled,
// which it is anew in every process.
import { EventEmitter } from "node:events";
import type { RequestOptions } from "node:http";
import type { Socket } from "node:net";
import { Agent, connectTo } from "./agent.ts";
import { Answer } from "./answer.ts";
import { AnswerReader, type Head, MalformedAnswer } from "./answer-reader.ts";
import { requestHead } from "./head.ts";

/** Options of Node's request(), of which some are looked at. */
export type LeanOptions = Omit<RequestOptions, "agent"> & { agent?: unknown };

/**
 * A request with those of the events and methods of Node's ClientRequest that are used: "socket", "response", "upgrade",
 * "error", "close". Its errors have Node's codes.
 */
export class LeanRequest extends EventEmitter {
  /** Its connection may serve others when the answer was read. */
  shouldKeepAlive = true;
  readonly reusedSocket: boolean;
  destroyed = false;
  readonly socket: Socket;
  readonly #agent: Agent | undefined;
  readonly #head: string;
  #answer: Answer | undefined;
  #failure: Error | undefined;
  #detach: () => void = () => {};

  constructor(secure: boolean, options: LeanOptions) {
    super();
    const { agent, method = "GET", path = "/", host: named, hostname, port: wanted, headers, auth } = options;
    const host = named ?? hostname ?? "localhost";
    const usualPort = secure ? 443 : 80;
    const port = Number(wanted) || usualPort;
    const authority = host.includes(":") ? `[${host}]` : host;
    this.#head = requestHead({
      method,
      path: path ?? "/",
      headers: {
        Host: port === usualPort ? authority : `${authority}:${port}`,
        Connection: "keep-alive",
        ...(auth && { Authorization: `Basic ${Buffer.from(auth).toString("base64")}` }),
        ...(headers as Record<string, string>), // of those ways to write headers that Node takes, the one that we use
      },
    });
    this.#agent = agent instanceof Agent ? agent : undefined;
    const idle = this.#agent?.takeIdle();
    this.reusedSocket = idle !== undefined;
    const destination = { ...connectionOptions(options), ...this.#agent?.options, host, port };
    this.socket = idle ?? connectTo({ secure, destination });
    this.#agent?.hold(this.socket);
    this.#attach();
    process.nextTick(() => this.emit("socket", this.socket));
  }

  /** Sends it. */
  end(body?: string | Uint8Array): this {
    const { socket } = this;
    socket.cork();
    socket.write(this.#head, "latin1");
    if (body !== undefined) socket.write(body);
    socket.uncork();
    return this;
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#failure ??= error;
    if (!this.#answer?.complete) this.socket.destroy();
    return this;
  }

  /** By this and the next ws knows a request that it can give up. */
  abort(): void {
    this.destroy();
  }

  setHeader(): void {
    throw new Error("the head was made when the request was");
  }

  #attach(): void {
    const { socket } = this;
    const reader = new AnswerReader({
      head: (head, rest) => this.#onHead(head, rest),
      body: (chunk) => void (this.#answer?.push(chunk) === false && socket.pause()),
      end: (extra) => this.#onEnd(extra),
    });
    const onData = (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        if (!(error instanceof MalformedAnswer)) throw error;
        this.#failure ??= error;
        socket.destroy();
      }
    };
    const onEnd = () => reader.close();
    const onError = (error: Error) => {
      this.#failure ??= error;
    };
    const onClose = () => this.#onClose();
    socket.on("data", onData).on("end", onEnd).on("error", onError).on("close", onClose);
    this.#detach = () => {
      socket.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
    };
  }

  #onHead(head: Head, rest: Buffer): void {
    const { socket } = this;
    const answer = new Answer(socket, head);
    this.#answer = answer;
    if (head.statusCode !== 101) {
      if (!head.persistent || /\bclose\b/i.test(String(head.headers.connection))) this.shouldKeepAlive = false;
      if (!this.emit("response", answer)) answer.resume();
      return;
    }
    answer.complete = true;
    this.#letGo();
    // Whoever takes over reads from here on; until then nothing may flow.
    Object.assign(socket, { readableFlowing: null });
    if (!this.emit("upgrade", answer, socket, rest)) socket.destroy();
  }

  #onEnd(extra: boolean): void {
    const { socket } = this;
    const answer = this.#answer;
    this.#letGo();
    if (answer) answer.complete = true;
    if (this.#agent && this.shouldKeepAlive && !extra && !this.destroyed) this.#agent.giveBack(socket);
    else socket.destroy();
    answer?.push(null);
  }

  #letGo(): void {
    this.#detach();
    this.#agent?.letGo(this.socket);
    process.nextTick(() => this.emit("close"));
  }

  #onClose(): void {
    this.#agent?.letGo(this.socket);
    if (!this.#answer) this.emit("error", this.#failure ?? reset("socket hang up"));
    else if (!this.#answer.complete) this.#answer.destroy(this.#failure ?? reset("aborted"));
    this.emit("close");
  }
}

/** The request() of `node:https` or `node:http`. Through an agent that is not ours, a proxy's, Node itself makes it. */
export function requestBy(secure: boolean): (...args: [LeanOptions] | [URL, LeanOptions]) => LeanRequest {
  return (first, second?: LeanOptions) => {
    const options = first instanceof URL ? { ...partsOf(first), ...second } : first;
    if (!options.agent || options.agent instanceof Agent) return new LeanRequest(secure, options);
    const node = process.getBuiltinModule(secure ? "node:https" : "node:http");
    return node.request(options as RequestOptions) as unknown as LeanRequest; // whose events and methods it has
  };
}

function partsOf({ hostname, port, pathname, search }: URL): LeanOptions {
  return { host: hostname.replace(/^\[|\]$/g, ""), port: port || undefined, path: pathname + search };
}

/** Of a request's options those that are the connection's. */
function connectionOptions(options: LeanOptions): Record<string, unknown> {
  const { agent, method, path, headers, auth, host, hostname, port, createConnection, timeout, signal, ...rest } =
    options;
  return rest;
}

function reset(message: string): Error {
  return Object.assign(new Error(message), { code: "ECONNRESET" });
}
