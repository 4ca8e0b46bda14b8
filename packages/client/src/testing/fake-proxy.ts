import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createSecureServer } from "node:tls";
import { serverCertificate, serverKey } from "./certificates.ts";

export interface FakeProxy extends AsyncDisposable {
  url: URL;
  /** What was asked for: `CONNECT host:port`, with credentials after it. */
  asked: string[];
}

/** A proxy on a free port. It connects to this machine, whatever the host's name. */
export async function fakeProxy(
  scheme: "http" | "https" | "socks5",
  { user, answer }: { user?: { name: string; password: string }; answer?: string } = {},
): Promise<FakeProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const serve = async (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    const port = await (scheme === "socks5" ? askedBySocks : askedByConnect)(socket, { asked, user, answer });
    if (!port) return;
    const onward = connect(port, "127.0.0.1");
    sockets.add(onward);
    onward.on("error", () => socket.destroy()).on("close", () => sockets.delete(onward));
    socket.on("close", () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  };
  const onConnection = (socket: Socket) => void serve(socket).catch(() => socket.destroy());
  const server: Server =
    scheme === "https"
      ? createSecureServer({ cert: serverCertificate, key: serverKey }, onConnection)
      : createServer(onConnection);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // listening on TCP
  const url = new URL(`${scheme}://127.0.0.1:${port}`);
  if (user) Object.assign(url, { username: user.name, password: user.password });
  return {
    url,
    asked,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Manner {
  asked: string[];
  user?: { name: string; password: string } | undefined;
  answer?: string | undefined;
}

async function askedByConnect(socket: Socket, { asked, answer }: Manner): Promise<number | undefined> {
  let head = "";
  while (!head.includes("\r\n\r\n")) head += String(await next(socket));
  const [, target = ""] = /^CONNECT (\S+) /.exec(head) ?? [];
  const [, basic] = /Proxy-Authorization: Basic (\S+)/.exec(head) ?? [];
  asked.push(`${target}${basic ? ` ${Buffer.from(basic, "base64")}` : ""}`);
  if (answer !== undefined) {
    socket.end(answer);
    return undefined;
  }
  socket.write("HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
  return Number(target.split(":").at(-1));
}

/** RFC 1928, as far as a test needs it. */
async function askedBySocks(socket: Socket, { asked, user, answer }: Manner): Promise<number | undefined> {
  const methods = await next(socket);
  const method = user ? 2 : 0;
  if (!methods.subarray(2).includes(method)) {
    socket.end(Buffer.from([5, 255]));
    return undefined;
  }
  socket.write(Buffer.from([5, method]));
  let who = "";
  if (user) {
    const login = await next(socket);
    const length = login[1] ?? 0;
    who = ` ${login.subarray(2, 2 + length)}:${login.subarray(3 + length)}`;
    socket.write(Buffer.from([1, who === ` ${user.name}:${user.password}` ? 0 : 1]));
  }
  const request = await next(socket);
  const host = request.subarray(5, 5 + (request[4] ?? 0)).toString();
  const port = request.readUInt16BE(request.length - 2);
  asked.push(`${host}:${port}${who}`);
  if (answer !== undefined) {
    socket.end(Buffer.from([5, Number(answer), 0, 1, 0, 0, 0, 0, 0, 0]));
    return undefined;
  }
  socket.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 80]));
  return port;
}

async function next(socket: Socket): Promise<Buffer> {
  const [chunk] = await once(socket, "data");
  return chunk as Buffer;
}
