import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type KubeClient, loadKubeconfig } from "@hawser/client";
import { type ClusterPaths, down, type Hop, logFile, type UpOptions, up } from "hawser";
import { freePort } from "./ports.ts";

/** A running cluster: three processes, its node Ready. Disposing takes it down and removes every trace of it. */
export interface Cluster extends AsyncDisposable {
  dataDir: string;
  paths: ClusterPaths;
  /** Path of the admin's kubeconfig, for kubectl and for loadKubeconfig. */
  kubeconfig: string;
  nodeName: string;
  apiPort: number;
  kubeletPort: number;
  /** As the admin. */
  client: KubeClient;
  /** What a hop has logged so far. */
  log(hop: Hop): Promise<string>;
}

export type ClusterOptions = Omit<UpOptions, "dataDir" | "merge">;

/**
 * Starts a cluster of its own for a program or a test: a fresh data directory, free ports. Needs root and the Debian
 * packages that `hawser up` asks for.
 *
 * ```ts
 * await using cluster = await startCluster();
 * await cluster.client.create({ resource: "pods", namespace: "default" }, pod);
 * ```
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const parent = await mkdtemp(join(tmpdir(), "hawser-cluster-"));
  const dataDir = join(parent, "data");
  const removeAll = async () => {
    await down({ dataDir, launcher: options.launcher });
    await rm(parent, { recursive: true, force: true });
  };
  try {
    const [apiPort, kubeletPort] = [options.apiPort ?? (await freePort()), options.kubeletPort ?? (await freePort())];
    const { paths, settings } = await up({ nodeName: "node-1", ...options, dataDir, apiPort, kubeletPort });
    const client = createClient(await loadKubeconfig({ path: paths.kubeconfig }));
    return {
      dataDir,
      paths,
      kubeconfig: paths.kubeconfig,
      nodeName: settings.nodeName,
      apiPort,
      kubeletPort,
      client,
      log: (hop) => readFile(logFile(paths, hop), "utf8"),
      async [Symbol.asyncDispose]() {
        try {
          await client[Symbol.asyncDispose]();
        } finally {
          await removeAll();
        }
      },
    };
  } catch (err) {
    await removeAll();
    throw err;
  }
}
