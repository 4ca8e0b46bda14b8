import type { Node } from "@hawser/api";
import { createClient, loadKubeconfig } from "@hawser/client";
import { runningDaemon } from "./daemon.ts";
import { type ClusterPaths, clusterPaths, defaultDataDir, type Hop, hops } from "./paths.ts";
import { startedAt } from "./proc.ts";
import { type ClusterSettings, readSettings } from "./settings.ts";

/** How long the API may take to answer, milliseconds. */
const answerTimeout = 3_000;

export interface ClusterStatus {
  paths: ClusterPaths;
  settings: ClusterSettings;
  /** Of a hop that runs: its process and since when (milliseconds since the epoch). Undefined: it should, and does not. */
  hops: Partial<Record<Hop, { pid: number; since: number } | undefined>>;
  node: { ready: boolean; message: string };
}

/** Undefined when the folder holds no cluster. */
export async function status(options: { dataDir?: string | undefined } = {}): Promise<ClusterStatus | undefined> {
  const paths = clusterPaths(options.dataDir ?? defaultDataDir);
  const settings = await readSettings(paths);
  if (!settings) return undefined;
  const found: ClusterStatus["hops"] = {};
  for (const hop of hops) {
    if (hop === "runtime" && settings.runtimeEndpoint !== undefined) continue;
    const identity = await runningDaemon(paths, hop);
    found[hop] = identity && { pid: identity.pid, since: await startedAt(identity) };
  }
  const node = found.apiserver
    ? await nodeStatus(paths, settings.nodeName)
    : { ready: false, message: "no API server" };
  return { paths, settings, hops: found, node };
}

/** Whether everything that should run does, and the node is Ready. */
export function isHealthy({ hops, node }: ClusterStatus): boolean {
  return node.ready && Object.values(hops).every(Boolean);
}

async function nodeStatus(paths: ClusterPaths, name: string): Promise<ClusterStatus["node"]> {
  try {
    await using client = createClient(await loadKubeconfig({ path: paths.kubeconfig }), { timeoutMs: answerTimeout });
    const node = await client.get<Node>({ resource: "nodes", name });
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    if (ready?.status === "True") return { ready: true, message: "Ready" };
    return { ready: false, message: `NotReady: ${ready?.message ?? "its kubelet has said nothing yet"}` };
  } catch (err) {
    return { ready: false, message: err instanceof Error ? err.message : String(err) };
  }
}
