import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { removeTree } from "@hawser/trace/files";
import { removeCgroups } from "./cgroups.ts";
import { hawserProgram, type Launcher, markName, runningDaemon } from "./daemon.ts";
import { unmergeKubeconfig } from "./kubeconfig.ts";
import { lockCluster } from "./lock.ts";
import { unmountBelow } from "./mounts.ts";
import { type ClusterPaths, clusterPaths, defaultDataDir, hops } from "./paths.ts";
import { type ProcessIdentity, processesWith, terminate } from "./proc.ts";
import { type ClusterSettings, readSettings } from "./settings.ts";

const run = promisify(execFile);

/** How long a daemon may take to end by itself, milliseconds. */
const grace = 5_000;

export interface DownOptions {
  dataDir?: string | undefined;
  /** Keep objects, certificates and images: the next `up` has the same cluster again. */
  keepData?: boolean | undefined;
  onProgress?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  launcher?: Launcher | undefined;
}

/**
 * Takes a cluster down: every process, container, mount, namespace, interface and rule of it, and, unless `keepData`,
 * its folder. Works from what is there, so also after a crash of any part. Resolves with false when there is no cluster.
 */
export async function down(options: DownOptions = {}): Promise<boolean> {
  const { onProgress = () => {}, signal, launcher, keepData = false } = options;
  if (process.getuid?.() !== 0) throw new Error("hawser down needs root. Try: sudo hawser down");
  const paths = clusterPaths(options.dataDir ?? defaultDataDir);
  await using _lock = await lockCluster(paths.dataDir, {
    signal,
    waiting: (pid) => onProgress(`waiting for another hawser (process ${pid}) that works on ${paths.dataDir}`),
  });
  // A damaged cluster.json is no reason to leave a cluster running.
  const settings = await readSettings(paths).catch(() => "damaged" as const);
  if (settings === undefined) return false;
  await takeDown({ paths, settings: settings === "damaged" ? undefined : settings, launcher }, { keepData });
  return true;
}

/** The steps of `down`, for whoever holds the cluster's lock. */
export async function takeDown(
  cluster: { paths: ClusterPaths; settings: ClusterSettings | undefined; launcher?: Launcher | undefined },
  { keepData }: { keepData: boolean },
): Promise<void> {
  const { paths, settings } = cluster;
  // The kubelet first, or it would start again what the next steps stop.
  const kubelet = await runningDaemon(paths, "kubelet");
  if (kubelet) await terminate([kubelet], grace);
  if (settings?.runtimeEndpoint) await removeForeignPods(paths, settings.runtimeEndpoint);
  const daemons = await Promise.all(hops.map((hop) => runningDaemon(paths, hop)));
  await terminate(
    daemons.filter((daemon) => daemon !== undefined),
    grace,
  );
  await terminate(await lostDaemons(paths), grace);
  if (!settings?.runtimeEndpoint) await removeContainers(cluster);
  await terminate(await markedProcesses(paths), grace); // helpers that outlived their hop
  await removeCgroups(paths);
  await unmountBelow(paths.dataDir);
  if (settings?.merged && !keepData) {
    await unmergeKubeconfig(paths.kubeconfig, settings.merged).catch(() => {}); // the user's own file may have gone its own ways
  }
  if (!keepData) return remove(paths.dataDir);
  await removeTree(paths.run);
}

/** Removes a folder with all in it; one that is somebody's mount point stays, empty. */
async function remove(folder: string): Promise<void> {
  const unless = (code: string) => (error: NodeJS.ErrnoException) => {
    if (error.code !== code) throw error;
    return [];
  };
  const names = await readdir(folder).catch(unless("ENOENT"));
  for (const name of names) await removeTree(join(folder, name));
  await removeTree(folder).catch(unless("EBUSY"));
}

/** Daemons of this cluster that no pid file speaks of. Containers' monitors bear the mark too; they are the runtime's. */
async function lostDaemons(paths: ClusterPaths): Promise<ProcessIdentity[]> {
  const own = await readlink("/proc/self/exe");
  const marked = await markedProcesses(paths);
  const programs = await Promise.all(marked.map(({ pid }) => readlink(`/proc/${pid}/exe`).catch(() => "")));
  return marked.filter((_process, index) => programs[index] === own);
}

async function markedProcesses(paths: ClusterPaths): Promise<ProcessIdentity[]> {
  return (await processesWith(markName, paths.dataDir)).filter(({ pid }) => pid !== process.pid);
}

/** Where our runtime lived, it takes its containers away: from a process of its own, started as the runtime was. */
async function removeContainers({
  paths,
  launcher = (_hop, command) => command,
}: {
  paths: ClusterPaths;
  launcher?: Launcher | undefined;
}): Promise<void> {
  const command = [process.execPath, hawserProgram(), "remove-containers", "--root", paths.runtimeRoot];
  const [program = "", ...args] = launcher("runtime", command);
  try {
    await run(program, args, { cwd: "/", maxBuffer: 1024 * 1024 });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim();
    throw new Error(`cannot remove the containers below ${paths.runtimeRoot}${said ? `: ${said}` : ""}`, { cause });
  }
}

/** In a runtime that is not ours, only the pods that our kubelet has put there: those it keeps folders for. */
async function removeForeignPods(paths: ClusterPaths, endpoint: string): Promise<void> {
  const own = new Set(await readdir(join(paths.kubeletRoot, "pods")).catch(() => []));
  if (own.size === 0) return;
  const { connectCRI } = await import("@hawser/cri");
  using connection = await connectCRI({ endpoint, timeoutMs: 2_000 });
  const { items } = await connection.runtime.listPodSandbox({});
  for (const { id, metadata } of items) {
    if (!metadata || !own.has(metadata.uid)) continue;
    await connection.runtime.stopPodSandbox({ podSandboxId: id });
    await connection.runtime.removePodSandbox({ podSandboxId: id });
  }
}
