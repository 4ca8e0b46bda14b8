import { readdir } from "node:fs/promises";
import path from "node:path";
import { ContainerState } from "@hawser/cri";
import { removeTree } from "@hawser/files";
import type { KubeletContext } from "../context.ts";
import { removePodFolder } from "../volumes/volumes.ts";
import { gracePeriodAnnotation, maxGrace, podNameLabel, podNamespaceLabel, podUIDLabel } from "./labels.ts";
import { podsFolder } from "./paths.ts";

/** Seconds a container gets that does not say how many it wants. */
const defaultGrace = 30;

type Context = Pick<KubeletContext, "runtime" | "folders" | "run" | "log">;

/** Stops and removes what the runtime has of a pod that the API server does not know any more. */
export async function removeOrphan(context: Context, uid: string, signal: AbortSignal): Promise<void> {
  const { runtime, log } = context;
  const filter = { labelSelector: { [podUIDLabel]: uid } };
  const { containers } = await runtime.listContainers({ filter }, { signal });
  const running = containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING);
  await Promise.all(
    running.map(({ id, annotations }) => {
      const grace = Number(annotations[gracePeriodAnnotation] ?? defaultGrace) || defaultGrace;
      const timeout = BigInt(Math.min(grace, maxGrace));
      return runtime.stopContainer({ containerId: id, timeout }, { signal });
    }),
  );
  const { items } = await runtime.listPodSandbox({ filter }, { signal });
  for (const { id, labels } of items) {
    await runtime.stopPodSandbox({ podSandboxId: id }, { signal });
    await runtime.removePodSandbox({ podSandboxId: id }, { signal });
    const name = `${labels[podNamespaceLabel]}_${labels[podNameLabel]}_${uid}`;
    if (!name.includes("/")) await removeTree(path.join(context.folders.podLogsDir, name));
    log.info("removed a pod that is known no more", { pod: name });
  }
  await removePodFolder(context, uid);
}

/** Removes the folders of pods that are neither wanted nor in the runtime. */
export async function removeOrphanedFolders(context: Context, wanted: (uid: string) => boolean): Promise<void> {
  const entries = await readdir(podsFolder(context.folders)).catch(() => []);
  for (const uid of entries) {
    if (wanted(uid)) continue;
    await removePodFolder(context, uid).catch((error: unknown) => context.log.warn("pod folder stays", { uid, error }));
  }
}
