// The limits of the stream rows: a socket between two Node processes over loopback, with nothing of ours between. Plain TCP, as a runtime's
// streaming server speaks it, ours and the others'; and TLS, as the API server and the kubelet do.
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

/** Starts the other side in a process of its own. */
export async function startPlainPeer(wire: Wire): Promise<PlainPeer> {
  const ca = await createCA({ commonName: "bench" });
  const { certPEM, keyPEM } = await issueCertificate({
    ca,
    commonName: "localhost",
    dnsNames: ["localhost"],
    usages: ["server"],
  });
  const child = fork(import.meta.filename, ["serve"], { execArgv: heapFlags });
  child.send({ wire, cert: certPEM, key: keyPEM });
  const [port] = (await once(child, "message")) as [number];
  const open = async () => {
    const to = { port, host: "localhost" };
    const socket = wire === "TLS" ? connectTLS({ ...to, ca: ca.certPEM }) : connectTCP(to);
    await once(socket, wire === "TLS" ? "secureConnect" : "connect");
    return socket;
  };
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
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await once(child, "exit");
    },
  };
}

/** The first line of a connection says how much it wants; 0 stands for all that it sends. */
async function serve(): Promise<void> {
  const [{ wire, ...credentials }] = (await once(process, "message")) as [{ wire: Wire; cert: string; key: string }];
  const talk = (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", (line) => {
      const wanted = Number(line.subarray(0, line.indexOf(10)).toString());
      if (wanted > 0) sendAll(socket, wanted).catch(() => socket.destroy());
      else socket.resume();
    });
  };
  const server = wire === "TLS" ? createTLSServer(credentials, talk) : createTCPServer(talk);
  server.listen(0, () => {
    const address = server.address();
    if (typeof address === "object") process.send?.(address?.port);
  });
  process.once("disconnect", () => process.exit());
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
