import { readdir, rm } from "node:fs/promises";
import path from "node:path";

/**
 * Which start of a container is the next, from 0, by the logs that earlier ones have left in its folder: what remains
 * to count by when the runtime has lost or removed its containers. 0 where there is no folder.
 *
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go calcRestartCountByLogDir
 */
export async function attemptByLogs(folder: string): Promise<number> {
  return Math.max(0, ...(await namesIn(folder)).map((name) => attemptOf(name) + 1));
}

/** Removes the logs, rotated ones too, of starts before this one: nobody can ask for them any more. */
export async function removeLogsBefore(folder: string, attempt: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    const its = attemptOf(name);
    if (its >= 0 && its < attempt) await rm(path.join(folder, name), { force: true });
  }
}

/** -1 of what is no log. */
function attemptOf(name: string): number {
  return Number(/^(\d{1,9})\.log/.exec(name)?.[1] ?? -1);
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
