// The limits of the stream rows: a socket between two Node processes over loopback, with nothing of ours between. Plain TCP, as a runtime's
// streaming server speaks it, ours and the others'; and TLS, as the API server and the kubelet do. And the way of a session through both of
// them: two relays in a row that do nothing but pipe.
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect as connectTCP, createServer as createTCPServer, type Socket } from "node:net";
import { connect as connectTLS, createServer as createTLSServer } from "node:tls";
import { createCA, issueCertificate } from "@hawser/pki";

const chunk = Buffer.alloc(64 * 1024);

/** V8's, as our daemons have them. */
const heapFlags = ["--max-semi-space-size=2", "--optimize-for-size", "--single-threaded-gc"];

export type Wire = "TCP" | "TLS";

export interface PlainPeer extends AsyncDisposable {
  receive(bytes: number): Promise<void>;
  send(bytes: number): Promise<void>;
}

/** What each hop listens with, and where one goes on to that is not the last. */
interface Hop {
  wire: Wire;
  cert: string;
  key: string;
  ca: string;
  next?: { wire: Wire; port: number };
}

/** Starts the other side in a process of its own, behind a relay in a process of its own for each further wire: the client's comes first. */
export async function startPlainPeer(first: Wire, ...behind: Wire[]): Promise<PlainPeer> {
  const ca = await createCA({ commonName: "bench" });
  const { certPEM: cert, keyPEM: key } = await issueCertificate({
    ca,
    commonName: "localhost",
    dnsNames: ["localhost"],
    usages: ["server"],
  });
  await using stack = new AsyncDisposableStack();
  const startHop = async (hop: Pick<Hop, "wire" | "next">) => {
    const child = fork(import.meta.filename, ["serve"], { execArgv: heapFlags });
    stack.defer(async () => {
      child.disconnect();
      await once(child, "exit");
    });
    child.send({ cert, key, ca: ca.certPEM, ...hop });
    const [port] = (await once(child, "message")) as [number];
    return { wire: hop.wire, port };
  };
  let next: Hop["next"];
  for (const wire of [first, ...behind].reverse()) next = await startHop({ wire, ...(next && { next }) });
  if (!next) throw new Error("no wire");
  const to = next;
  const hops = stack.move();
  const open = () => connect(to, ca.certPEM);
  return {
    async receive(bytes) {
      const socket = await open();
      socket.write(`${bytes}\n`);
      await receiveAll(socket, bytes);
      socket.destroy();
    },
    async send(bytes) {
      const socket = await open();
      socket.write("0\n");
      await sendAll(socket, bytes);
      socket.end();
      await once(socket.resume(), "end"); // the other side ends when it has everything
      socket.destroy();
    },
    [Symbol.asyncDispose]: () => hops.disposeAsync(),
  };
}

async function connect({ wire, port }: { wire: Wire; port: number }, ca: string): Promise<Socket> {
  const to = { port, host: "localhost" };
  const socket = wire === "TLS" ? connectTLS({ ...to, ca }) : connectTCP(to);
  await once(socket, wire === "TLS" ? "secureConnect" : "connect");
  return socket;
}

async function serve(): Promise<void> {
  const [{ wire, next, ca, ...credentials }] = (await once(process, "message")) as [Hop];
  const talk = (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    if (next) relay(socket, connect(next, ca)).catch(() => socket.destroy());
    else answer(socket);
  };
  const halfOpen = { allowHalfOpen: true };
  const server =
    wire === "TLS" ? createTLSServer({ ...credentials, ...halfOpen }, talk) : createTCPServer(halfOpen, talk);
  server.listen(0, () => {
    const address = server.address();
    if (typeof address === "object") process.send?.(address?.port);
  });
  process.once("disconnect", () => process.exit());
}

async function relay(client: Socket, connecting: Promise<Socket>): Promise<void> {
  const next = await connecting;
  next.on("error", () => client.destroy());
  client.on("close", () => next.destroy());
  client.pipe(next);
  next.pipe(client);
}

/** The first line of a connection says how much it wants; 0 stands for all that it sends. */
function answer(socket: Socket): void {
  socket.once("data", (line) => {
    const wanted = Number(line.subarray(0, line.indexOf(10)).toString());
    if (wanted > 0) sendAll(socket, wanted).catch(() => socket.destroy());
    else socket.resume().on("end", () => socket.end());
  });
}

async function sendAll(socket: Socket, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes; sent += chunk.byteLength) {
    if (!socket.write(chunk)) await once(socket, "drain");
  }
}

async function receiveAll(socket: Socket, bytes: number): Promise<void> {
  let received = 0;
  for await (const part of socket as AsyncIterable<Buffer>) {
    received += part.byteLength;
    if (received >= bytes) return;
  }
  throw new Error(`${received} of ${bytes} bytes arrived`);
}

if (process.argv[2] === "serve") await serve();
