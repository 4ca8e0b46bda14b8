import { readdir } from "node:fs/promises";

/**
 * Which start of a container is the next, from 0, by the logs that earlier ones have left in its folder: what remains
 * to count by when the runtime has lost or removed its containers. 0 where there is no folder.
 *
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go calcRestartCountByLogDir
 */
export async function attemptByLogs(folder: string): Promise<number> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return Math.max(0, ...names.map((name) => Number(/^(\d{1,9})\.log/.exec(name)?.[1] ?? -1) + 1));
}
