import { connect, isIP, type Socket } from "node:net";
import { ConnectionError } from "../connection-error.ts";

/** Milliseconds from the dial of the proxy to its word that it has connected us; client-go's dial timeout. */
const timeoutMs = 30_000;
/** Bytes of a proxy's answer to CONNECT. */
const maxAnswerBytes = 16 * 1024;

/** Where a proxy is to connect to. */
export interface Destination {
  host: string;
  port: number;
}

/**
 * A connection to `destination` made by a proxy, which resolves the name: CONNECT for `http:` and `https:`, RFC 1928 for
 * `socks5:` and `socks5h:`. Throws ConnectionError of the kind `proxy`.
 */
export async function dialThrough(proxy: URL, destination: Destination): Promise<Socket> {
  const socket = await reach(proxy);
  const reader = new AnswerReader(socket);
  // Destroying it fails the read under way, which is where the handshake waits.
  const late = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs / 1000}s`)), timeoutMs);
  try {
    if (proxy.protocol.startsWith("socks5")) await socks(reader, { proxy, destination });
    else await tunnel(reader, { proxy, destination });
    reader.release();
    return socket;
  } catch (cause) {
    socket.destroy();
    throw failure(proxy, cause);
  } finally {
    clearTimeout(late);
  }
}

async function reach(proxy: URL): Promise<Socket> {
  const host = bare(proxy.hostname);
  const secure = proxy.protocol === "https:";
  const standard = secure ? 443 : proxy.protocol === "http:" ? 80 : 1080;
  const target = { host, port: Number(proxy.port) || standard, noDelay: true };
  // The machine's own authorities: a proxy is none of the cluster's.
  const tls = secure ? await import("node:tls") : undefined;
  const ca = tls && [...new Set([...tls.getCACertificates("system"), ...tls.getCACertificates("default")])];
  const socket: Socket = tls
    ? tls.connect({ ...target, ...(ca && { ca }), ...(!isIP(host) && { servername: host }) })
    : connect(target);
  return await new Promise<Socket>((resolve, reject) => {
    const fail = (cause: unknown) => {
      clearTimeout(timer);
      socket.destroy();
      reject(failure(proxy, cause));
    };
    const timer = setTimeout(() => fail(new Error("i/o timeout")), timeoutMs);
    socket.once("error", fail);
    socket.once(secure ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

interface Handshake {
  proxy: URL;
  destination: Destination;
}

/** Source: RFC 9110 section 9.3.6 */
async function tunnel(reader: AnswerReader, { proxy, destination: { host, port } }: Handshake): Promise<void> {
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const who = credentialsOf(proxy);
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  if (who) lines.push(`Proxy-Authorization: Basic ${Buffer.from(`${who.name}:${who.password}`).toString("base64")}`);
  reader.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const answer = await reader.until("\r\n\r\n");
  const [, code = "", reason = ""] = /^HTTP\/1\.\d (\d{3}) ?([^\r]*)/.exec(answer) ?? [];
  if (!code) throw new Error("its answer to CONNECT is not HTTP");
  if (!code.startsWith("2")) throw new Error(`it answered ${code}${reason && ` ${reason}`}`);
}

const version = 5;
const plain = 0;
const byPassword = 2;
const socksErrors = [
  "",
  "general failure",
  "connection not allowed by its rules",
  "network unreachable",
  "host unreachable",
  "connection refused",
  "TTL expired",
  "command not supported",
  "address type not supported",
];

/** Source: RFC 1928, and RFC 1929 for the password */
async function socks(reader: AnswerReader, { proxy, destination: { host, port } }: Handshake): Promise<void> {
  const who = credentialsOf(proxy);
  reader.socket.write(Buffer.from(who ? [version, 2, plain, byPassword] : [version, 1, plain]));
  const [answered, method] = await reader.bytes(2);
  if (answered !== version) throw new Error("it does not speak SOCKS5");
  if (method === byPassword && who) {
    const [name, password] = [Buffer.from(who.name), Buffer.from(who.password)];
    if (name.length > 255 || password.length > 255)
      throw new Error("SOCKS5 has room for 255 bytes of name and password");
    reader.socket.write(Buffer.from([1, name.length, ...name, password.length, ...password]));
    const [, refused] = await reader.bytes(2);
    if (refused !== 0) throw new Error("it refused the user name and password");
  } else if (method !== plain) throw new Error("it wants an authentication that was not given");
  const name = Buffer.from(host);
  if (name.length > 255) throw new Error("SOCKS5 has room for 255 bytes of a host name");
  reader.socket.write(Buffer.from([version, 1, 0, 3, name.length, ...name, port >> 8, port & 0xff]));
  const [, code = 1, , type] = await reader.bytes(4);
  if (code !== 0) throw new Error(socksErrors[code] ?? `SOCKS error ${code}`);
  const [length = 0] = type === 3 ? await reader.bytes(1) : [type === 4 ? 16 : 4];
  await reader.bytes(length + 2); // the address it connects from, which nobody needs
}

function credentialsOf(proxy: URL): { name: string; password: string } | undefined {
  if (!proxy.username && !proxy.password) return undefined;
  return { name: decodeURIComponent(proxy.username), password: decodeURIComponent(proxy.password) };
}

/** Reads what a proxy says before the connection is ours, and not a byte more. */
class AnswerReader {
  readonly socket: Socket;
  #kept: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", ignore); // the read under way tells of it
  }

  async bytes(count: number): Promise<Buffer> {
    while (this.#kept.length < count) await this.#more();
    const taken = this.#kept.subarray(0, count);
    this.#kept = this.#kept.subarray(count);
    return taken;
  }

  async until(end: string): Promise<string> {
    for (;;) {
      const at = this.#kept.indexOf(end);
      if (at >= 0) return (await this.bytes(at + end.length)).toString("latin1");
      if (this.#kept.length > maxAnswerBytes) throw new Error(`its answer has more than ${maxAnswerBytes} bytes`);
      await this.#more();
    }
  }

  /** The socket is its next user's; what was read too much goes back. */
  release(): void {
    this.socket.off("error", ignore);
    if (this.#kept.length > 0) this.socket.unshift(this.#kept);
  }

  async #more(): Promise<void> {
    const { socket } = this;
    const chunk = await new Promise<Buffer>((resolve, reject) => {
      const settle = () => {
        const read: Buffer | null = socket.read();
        if (!read && !socket.destroyed && !socket.readableEnded) return;
        socket.off("readable", settle).off("end", settle).off("close", settle);
        if (read) resolve(read);
        else reject(socket.errored ?? new Error("it hung up"));
      };
      socket.on("readable", settle).on("end", settle).on("close", settle);
      settle();
    });
    this.#kept = Buffer.concat([this.#kept, chunk]);
  }
}

function ignore(): void {}

function failure(proxy: URL, cause: unknown): ConnectionError {
  if (cause instanceof ConnectionError) return cause;
  const words = cause instanceof Error ? cause.message : String(cause);
  const message = `Unable to connect to the server: proxyconnect: ${proxy.protocol}//${proxy.host}: ${words}`;
  return new ConnectionError(message, { kind: "proxy", unsent: true, cause });
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}
