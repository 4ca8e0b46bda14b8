import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { removeTree } from "@hawser/files";
import { removeCgroups } from "./cgroups.ts";
import { hawserProgram, type Launcher, markName, runningDaemon } from "./daemon.ts";
import { unmergeKubeconfig } from "./kubeconfig.ts";
import { lockCluster } from "./lock.ts";
import { unmountBelow } from "./mounts.ts";
import { type ClusterPaths, clusterPaths, defaultDataDir, hops } from "./paths.ts";
import { type ProcessIdentity, processesWith, terminate } from "./proc.ts";
import { type ClusterSettings, readSettings } from "./settings.ts";
import { networkRemains, Undoing, UndoneError } from "./undone.ts";

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
 *
 * What cannot be undone keeps nothing else from being: it is told at the end by the error, and what the next `down` needs to try it
 * again stays of the folder.
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

interface Cluster {
  paths: ClusterPaths;
  settings: ClusterSettings | undefined;
  launcher?: Launcher | undefined;
  /** Ends one process, or throws when it does not end; by default terminate(). */
  endProcess?: (process: ProcessIdentity) => Promise<void>;
}

/** The steps of `down`, for whoever holds the cluster's lock. */
export async function takeDown(cluster: Cluster, { keepData }: { keepData: boolean }): Promise<void> {
  const { paths, settings } = cluster;
  const undoing = new Undoing();
  const { endProcess = async (process) => await terminate([process], grace) } = cluster;
  const stuck = new Set<number>();
  /** One that does not end is told of once, and is not waited for again. */
  const end = (find: () => Promise<(ProcessIdentity | undefined)[]>) =>
    undoing.step(async () => {
      const found = (await find()).filter((process) => process !== undefined).filter(({ pid }) => !stuck.has(pid));
      const ending = async (process: ProcessIdentity) => {
        stuck.add(process.pid);
        await endProcess(process);
        stuck.delete(process.pid);
      };
      await Promise.all(found.map((process) => undoing.step(() => ending(process))));
    });
  // The kubelet first, or it would start again what the next steps stop.
  await end(async () => [await runningDaemon(paths, "kubelet")]);
  const { runtimeEndpoint, merged } = settings ?? {};
  if (runtimeEndpoint) await removeForeignPods({ paths, undoing }, runtimeEndpoint);
  await end(() => Promise.all(hops.map((hop) => runningDaemon(paths, hop))));
  await end(() => lostDaemons(paths));
  if (!runtimeEndpoint) await undoing.step(() => removeContainers(cluster));
  await end(() => markedProcesses(paths)); // helpers that outlived their hop
  await undoing.step(() => removeCgroups(paths));
  await undoing.step(() => unmountBelow(paths.dataDir));
  if (merged && !keepData) {
    await unmergeKubeconfig(paths.kubeconfig, merged).catch(() => {}); // the user's own file may have gone its own ways
  }
  const needs = undoing.needs();
  if (needs !== "all") {
    if (keepData) await undoing.step(() => removeTree(paths.run));
    else await undoing.step(() => remove(paths.dataDir, { but: needs }));
  }
  const { dataDir } = paths;
  undoing.end(
    `hawser down${dataDir === defaultDataDir ? "" : ` --data-dir ${dataDir}`}${keepData ? " --keep-data" : ""}`,
  );
}

/** Removes a folder with all in it, but for these paths below it; one that is somebody's mount point stays, empty. */
async function remove(folder: string, { but = [] }: { but?: string[] } = {}): Promise<void> {
  const unless = (code: string) => (error: NodeJS.ErrnoException) => {
    if (error.code !== code) throw error;
    return [];
  };
  for (const name of await readdir(folder).catch(unless("ENOENT"))) {
    const below = but.flatMap((path) => (path.startsWith(`${name}/`) ? [path.slice(name.length + 1)] : []));
    if (below.length > 0) await remove(join(folder, name), { but: below });
    else if (!but.includes(name)) await removeTree(join(folder, name));
  }
  if (but.length === 0) await removeTree(folder).catch(unless("EBUSY"));
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
    const { code, stderr } = cause as { code?: unknown; stderr?: string };
    const said = stderr?.trim();
    if (code === networkRemains) {
      const needs = [paths.settings, join(paths.runtimeRoot, "runtime.json")].map((path) =>
        relative(paths.dataDir, path),
      );
      throw new UndoneError(`containers below ${paths.runtimeRoot}: ${said}`, { needs, cause });
    }
    throw new Error(`cannot remove the containers below ${paths.runtimeRoot}${said ? `: ${said}` : ""}`, { cause });
  }
}

/** In a runtime that is not ours, only the pods that our kubelet has put there: those it keeps folders for. */
async function removeForeignPods(
  { paths, undoing }: { paths: ClusterPaths; undoing: Undoing },
  endpoint: string,
): Promise<void> {
  const folders = join(paths.kubeletRoot, "pods");
  const own = new Set(await readdir(folders).catch(() => []));
  if (own.size === 0) return;
  const needs = [paths.settings, folders].map((path) => relative(paths.dataDir, path));
  const told = async <T>(what: string, work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (cause) {
      throw new UndoneError(`${what} in ${endpoint}: ${cause instanceof Error ? cause.message : cause}`, {
        needs,
        cause,
      });
    }
  };
  const { connectCRI } = await import("@hawser/cri");
  await undoing.step(async () => {
    using connection = await told("pods of this cluster", connectCRI({ endpoint, timeoutMs: 2_000 }));
    const { runtime } = connection;
    const { items } = await told("pods of this cluster", runtime.listPodSandbox({}));
    for (const { id, metadata } of items) {
      if (!metadata || !own.has(metadata.uid)) continue;
      const end = async () => {
        await runtime.stopPodSandbox({ podSandboxId: id });
        await runtime.removePodSandbox({ podSandboxId: id });
      };
      await undoing.step(() => told(`pod ${metadata.namespace}/${metadata.name}`, end()));
    }
  });
}
