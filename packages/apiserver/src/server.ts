import { randomUUID } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createLogger, type Logger, Metrics } from "@hawser/trace";
import { startNamespaceController } from "./controllers/namespace.ts";
import { ensureCredentials } from "./credentials.ts";
import { createAccess } from "./filters/index.ts";
import { createHandler } from "./handler.ts";
import { type Listener, listen } from "./http/listener.ts";
import { createPodStreams } from "./proxy/index.ts";
import { createSystemObjects } from "./registry/bootstrap.ts";
import { ObjectCache } from "./registry/object-cache.ts";
import { createObjects } from "./registry/objects.ts";
import type { StoreDeps } from "./registry/store.ts";
import type { Objects } from "./request.ts";
import { startScheduler } from "./scheduler/index.ts";
import { openSQLite } from "./storage/sqlite.ts";
import type { Storage } from "./storage/storage.ts";

export interface ApiserverOptions {
  /** Holds state.db, pki/ and kubeconfig. */
  dataDir: string;
  /** 0: any that is free. */
  port?: number;
  bindAddress?: string;
  /** Names and addresses clients come by; the first stands in the kubeconfig. */
  advertiseAddresses?: string[];
  /** Only `sqlite` so far. */
  datastore?: string;
  tokenAuthFile?: string;
  /** Path of further CAs whose client certificates are believed. */
  clientCAFile?: string;
  /** In which order a node's addresses are tried. */
  kubeletPreferredAddressTypes?: string[];
  /** A node may be at 127.0.0.1: for a cluster on one machine without a network. */
  allowLoopbackKubelets?: boolean;
  /** Milliseconds for which a session's peer may leave bytes unacknowledged; 30 s where absent, 0 for TCP's own patience. */
  streamPeerTimeoutMs?: number;
  /** False: pods stay where they are put by hand. */
  scheduler?: boolean;
  clusterName?: string;
  verbosity?: number;
  log?: Logger;
}

export interface Apiserver extends AsyncDisposable {
  address: string;
  port: number;
  url: string;
  /** The admin's. */
  kubeconfigPath: string;
  /** PEM. */
  ca: { certPEM: string; keyPEM: string };
  objects: Objects;
}

/**
 * Starts an API server; resolves when it serves. Its state is on disk: the next one with the same `dataDir` goes on.
 * Throws when the port or the data directory is in use, or a file cannot be read.
 */
export async function startApiserver(options: ApiserverOptions): Promise<Apiserver> {
  const { dataDir, bindAddress = "127.0.0.1", port: wantedPort = 6443, datastore = "sqlite" } = options;
  const log = options.log ?? createLogger({ name: "apiserver", verbosity: options.verbosity ?? 0 });
  const advertiseAddresses = options.advertiseAddresses ?? [reachable(bindAddress)];
  await using stack = new AsyncDisposableStack();
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const storage = stack.use(openDatastore(datastore, dataDir));
  const store: StoreDeps = { storage, cache: new ObjectCache(), now: () => new Date(), newUID: () => randomUUID() };
  const objects = createObjects(store);
  await createSystemObjects(store);

  // The kubeconfig names the port, and a free one is known only once we listen: the handler comes a moment later.
  const stopped = new AbortController();
  const certificates = {
    dataDir,
    advertiseAddresses,
    ...(options.clusterName && { clusterName: options.clusterName }),
  };
  const credentials = await ensureCredentials({ ...certificates, port: wantedPort });
  const clientCA = await clientCAs(credentials.ca.certPEM, options.clientCAFile);
  const access = stack.use(
    await createAccess({
      objects,
      serviceAccountKey: credentials.serviceAccountKey,
      ...(options.tokenAuthFile && { tokenAuthFile: options.tokenAuthFile }),
      log: log.named("access"),
    }),
  );
  const pods = stack.use(
    createPodStreams({
      objects,
      access,
      peerTimeoutMs: options.streamPeerTimeoutMs,
      kubelet: {
        ...credentials.kubeletClient,
        caPEM: credentials.ca.certPEM,
        ...(options.kubeletPreferredAddressTypes && { preferredAddressTypes: options.kubeletPreferredAddressTypes }),
        ...(options.allowLoopbackKubelets !== undefined && { allowLoopback: options.allowLoopbackKubelets }),
      },
    }),
  );
  stack.use(startNamespaceController({ store, log: log.named("namespaces") }));
  if (options.scheduler !== false) stack.use(await startScheduler({ objects, log: log.named("scheduler") }));
  const handler = createHandler({
    store,
    access,
    pods,
    log,
    metrics: new Metrics("hawser_apiserver"),
    stopped: stopped.signal,
    healthy: async () => void (await storage.revision()),
  });
  const { serving } = credentials;
  const listener: Listener = stack.use(
    await listen({ address: bindAddress, port: wantedPort, serving, clientCA, handler }),
  );
  // Watches and sessions end first, then the port closes.
  stack.defer(() => stopped.abort(new Error("the server is stopping")));
  const { port } = listener;
  if (port !== wantedPort) await ensureCredentials({ ...certificates, port });
  const running = stack.move();
  const host = reachable(bindAddress);
  return {
    address: listener.address,
    port,
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    kubeconfigPath: credentials.kubeconfigPath,
    ca: credentials.ca,
    objects,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function openDatastore(datastore: string, dataDir: string): Storage {
  if (datastore === "sqlite") return openSQLite({ path: join(dataDir, "state.db") });
  throw new Error(`datastore ${JSON.stringify(datastore)} is not supported yet: only "sqlite" is`);
}

async function clientCAs(own: string, path: string | undefined): Promise<string> {
  return path === undefined ? own : `${own}\n${await readFile(path, "utf8")}`;
}

/** An address to reach a server by that listens on all. */
function reachable(bindAddress: string): string {
  if (bindAddress === "0.0.0.0") return "127.0.0.1";
  return bindAddress === "::" ? "::1" : bindAddress;
}
