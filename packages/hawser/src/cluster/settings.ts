import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { MergedKubeconfig } from "./kubeconfig.ts";
import type { ClusterPaths } from "./paths.ts";

/** What a cluster was started with; kept in cluster.json, so that each later command means the same cluster. */
export interface ClusterSettings {
  apiPort: number;
  kubeletPort: number;
  nodeName: string;
  /** Address of the node: where the API server finds the kubelet. */
  nodeAddress: string;
  /** Address the kubeconfig names. */
  apiAddress: string;
  /** Addresses of the pods. */
  podCIDR: string;
  ociRuntime?: "crun" | "runc" | undefined;
  /** A CRI endpoint that is not ours: `up` starts no runtime then. */
  runtimeEndpoint?: string | undefined;
  /** The runtime's own configuration file. */
  runtimeConfig?: string | undefined;
  verbosity: number;
  /** The shared kubeconfig that names this cluster. */
  merged?: MergedKubeconfig | undefined;
}

/** Undefined when the folder holds no cluster. Throws when it holds a damaged one. */
export async function readSettings(paths: ClusterPaths): Promise<ClusterSettings | undefined> {
  const text = await readFile(paths.settings, "utf8").catch((err: NodeJS.ErrnoException) => {
    if (err.code === "ENOENT" || err.code === "ENOTDIR") return undefined;
    throw err;
  });
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${paths.settings} is damaged; hawser down --data-dir ${paths.dataDir} clears the cluster away`, {
      cause,
    });
  }
}

export async function writeSettings(paths: ClusterPaths, settings: ClusterSettings): Promise<void> {
  await mkdir(paths.dataDir, { recursive: true, mode: 0o755 });
  const next = `${paths.settings}.new`;
  await writeFile(next, `${JSON.stringify(settings, null, 2)}\n`);
  await rename(next, paths.settings);
}

/** The host's name as a node's: lower case, and only what a DNS name may hold. */
export function defaultNodeName(name = hostname()): string {
  const clean = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]+/g, "-")
    .replaceAll(/^[.-]+|[.-]+$/g, "");
  return clean || "node";
}
