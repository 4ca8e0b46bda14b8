import { join, resolve } from "node:path";

/** The three daemons of a cluster, in the order of the path. */
export const hops = ["apiserver", "kubelet", "runtime"] as const;
export type Hop = (typeof hops)[number];

/** Where a cluster lives when nobody says otherwise. */
export const defaultDataDir = "/var/lib/hawser";

/** Every file and folder of a cluster that more than one part of this package knows. */
export interface ClusterPaths {
  dataDir: string;
  /** Marks the folder as ours and remembers the options: an `up` without flags starts the same cluster again. */
  settings: string;
  kubeconfig: string;
  run: string;
  log: string;
  /** CA and certificates; made by the API server on its first start. */
  pki: string;
  runtimeRoot: string;
  runtimeSocket: string;
  kubeletRoot: string;
  kubeletKubeconfig: string;
}

export function clusterPaths(dataDir: string): ClusterPaths {
  const dir = resolve(dataDir);
  return {
    dataDir: dir,
    settings: join(dir, "cluster.json"),
    kubeconfig: join(dir, "kubeconfig"),
    run: join(dir, "run"),
    log: join(dir, "log"),
    pki: join(dir, "pki"),
    runtimeRoot: join(dir, "runtime"),
    runtimeSocket: join(dir, "run", "runtime.sock"),
    kubeletRoot: join(dir, "kubelet"),
    kubeletKubeconfig: join(dir, "kubelet", "kubeconfig"),
  };
}

export function pidFile(paths: ClusterPaths, hop: Hop): string {
  return join(paths.run, `${hop}.pid`);
}

export function logFile(paths: ClusterPaths, hop: Hop): string {
  return join(paths.log, `${hop}.log`);
}
