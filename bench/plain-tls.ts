// The limit of the stream rows: TLS between two Node processes over loopback, with nothing of ours between.
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type TLSSocket } from "node:tls";
import { createCA, issueCertificate } from "@hawser/pki";

const chunk = Buffer.alloc(64 * 1024);

export interface TLSPeer extends AsyncDisposable {
  receive(bytes: number): Promise<void>;
  send(bytes: number): Promise<void>;
}

/** Starts the other side in a process of its own. */
export async function startTLSPeer(): Promise<TLSPeer> {
  const ca = await createCA({ commonName: "bench" });
  const { certPEM, keyPEM } = await issueCertificate({
    ca,
    commonName: "localhost",
    dnsNames: ["localhost"],
    usages: ["server"],
  });
  const child = fork(import.meta.filename, ["serve"]);
  child.send({ cert: certPEM, key: keyPEM });
  const [port] = (await once(child, "message")) as [number];
  const open = async () => {
    const socket = connect({ port, host: "localhost", ca: ca.certPEM });
    await once(socket, "secureConnect");
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
  const [credentials] = (await once(process, "message")) as [{ cert: string; key: string }];
  const server = createServer(credentials, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", (line) => {
      const wanted = Number(line.subarray(0, line.indexOf(10)).toString());
      if (wanted > 0) sendAll(socket, wanted).catch(() => socket.destroy());
      else socket.resume();
    });
  });
  server.listen(0, () => {
    const address = server.address();
    if (typeof address === "object") process.send?.(address?.port);
  });
  process.once("disconnect", () => process.exit());
}

async function sendAll(socket: TLSSocket, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes; sent += chunk.byteLength) {
    if (!socket.write(chunk)) await once(socket, "drain");
  }
}

async function receiveAll(socket: TLSSocket, bytes: number): Promise<void> {
  let received = 0;
  for await (const part of socket as AsyncIterable<Buffer>) {
    received += part.byteLength;
    if (received >= bytes) return;
  }
  throw new Error(`${received} of ${bytes} bytes arrived`);
}

if (process.argv[2] === "serve") await serve();
