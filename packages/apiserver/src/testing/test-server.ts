import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type KubeClient, loadKubeconfig } from "@hawser/client";
import { silentLogger } from "@hawser/trace";
import { type Apiserver, type ApiserverOptions, startApiserver } from "../server.ts";

export interface TestServer extends AsyncDisposable {
  server: Apiserver;
  /** The administrator's. */
  client: KubeClient;
  dataDir: string;
  /** Stops the server and starts another on the same data. */
  restart(): Promise<void>;
}

/** An API server of its own in a temporary folder, on a free port of loopback, without a scheduler. */
export async function startTestServer(options: Partial<ApiserverOptions> = {}): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), "hawser-apiserver-"));
  const start = async () => {
    const server = await startApiserver({ dataDir, port: 0, scheduler: false, log: silentLogger, ...options });
    const client = createClient(await loadKubeconfig({ path: server.kubeconfigPath }));
    return { server, client };
  };
  let running = await start();
  const stop = async () => {
    await running.client[Symbol.asyncDispose]();
    await running.server[Symbol.asyncDispose]();
  };
  return {
    get server() {
      return running.server;
    },
    get client() {
      return running.client;
    },
    dataDir,
    async restart() {
      await stop();
      running = await start();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(dataDir, { recursive: true });
    },
  };
}
