import type { IncomingMessage, RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { createCA, issueCertificate, type KeyPair } from "@hawser/pki";
import { type MemoryObjects, memoryObjects } from "../../testing/memory-objects.ts";
import { findKubelets } from "../kubelet-connection.ts";

/** A cluster of one node whose kubelet is a TLS server of the test's own. */
export interface FakeCluster extends AsyncDisposable {
  ca: KeyPair;
  objects: MemoryObjects;
  port: number;
  server: Server;
  /** Connections open now. */
  connections: Set<Duplex>;
  /** Common names of the clients seen, one per connection. */
  clients: string[];
  /** Connections that took up an earlier TLS session. */
  resumed: number;
  kubelet: { certPEM: string; keyPEM: string; caPEM: string; allowLoopback: boolean };
  findKubelet: ReturnType<typeof findKubelets>;
  /** Puts a pod with these containers on the node. */
  addPod(name: string, containers: string[], spec?: object): void;
}

export interface FakeKubeletOptions {
  onRequest?: RequestListener;
  onUpgrade?(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Instead of a certificate of the cluster's CA for `worker`. */
  serving?(ca: KeyPair): Promise<KeyPair>;
  nodeStatus?: object;
}

export async function fakeCluster(options: FakeKubeletOptions = {}): Promise<FakeCluster> {
  const { onRequest = (_, response) => response.end(), onUpgrade, serving = servingCertificate } = options;
  const ca = await createCA({ commonName: "ca" });
  const objects = memoryObjects();
  const [client, own] = await Promise.all([
    issueCertificate({
      ca,
      commonName: "kube-apiserver-kubelet-client",
      organizations: ["system:masters"],
      usages: ["client"],
    }),
    serving(ca),
  ]);
  const server = createServer({ cert: own.certPEM, key: own.keyPEM, ca: ca.certPEM, requestCert: true }, onRequest);
  if (onUpgrade) server.on("upgrade", onUpgrade);
  const connections = new Set<Duplex>();
  const clients: string[] = [];
  const kubelet = { ...client, caPEM: ca.certPEM, allowLoopback: true };
  const cluster = { ca, objects, server, connections, clients, kubelet, resumed: 0 };
  server.on("secureConnection", (socket: TLSSocket) => {
    clients.push(String(socket.getPeerCertificate().subject?.CN ?? ""));
    if (socket.isSessionReused()) cluster.resumed++;
  });
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const status = {
    addresses: [
      { type: "Hostname", address: "worker.invalid" },
      { type: "InternalIP", address: "127.0.0.1" },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    ...options.nodeStatus,
  };
  objects.put({ resource: "nodes" }, { metadata: { name: "worker" }, status } as object);
  return Object.assign(cluster, {
    port,
    findKubelet: findKubelets({ objects, kubelet }),
    addPod(name: string, containers: string[], spec: object = {}) {
      const pod = {
        metadata: { name, namespace: "default" },
        spec: { nodeName: "worker", containers: containers.map((container) => ({ name: container })), ...spec },
      };
      objects.put({ resource: "pods" }, pod as object);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}

export function servingCertificate(ca: KeyPair, name = "worker"): Promise<KeyPair> {
  return issueCertificate({
    ca,
    commonName: `system:node:${name}`,
    organizations: ["system:nodes"],
    dnsNames: [name],
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
}
