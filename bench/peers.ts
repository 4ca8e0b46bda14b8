// The contestants: our runtime with crun and with runc, and Debian's containerd with each, all under our own kubelet.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Cluster, checkout, must, startCluster } from "@hawser/testing";
import type { Launcher } from "hawser";
import { startContainerd, whyNoContainerd } from "../conformance/containerd/containerd.ts";
import { buildImageArchive, testImage } from "../conformance/containerd/image.ts";
import { cgroup } from "./leftovers.ts";
import { probeFlags, type WatchedPeer } from "./loop-watch.ts";
import type { ClusterPeer } from "./rows/cluster.ts";
import type { WeighedPeer } from "./rows/memory.ts";

export type Peer = ClusterPeer & WeighedPeer & WatchedPeer & AsyncDisposable;
type OCIRuntime = "crun" | "runc";

/** Our three daemons. */
export async function hawserPeer(ociRuntime: OCIRuntime): Promise<Peer> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "hawser-bench-loop-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const loopReport = join(folder, "report.json");
  const launcher: Launcher = (hop, [node = "", ...rest]) =>
    hop === "runtime" && rest.includes("--socket") ? [node, ...probeFlags(loopReport), ...rest] : [node, ...rest];
  const cluster = stack.use(await startCluster({ ociRuntime, launcher }));
  await loadTestImage(cluster);
  const held = stack.move();
  return {
    name: `Hawser + ${ociRuntime}`,
    cluster,
    endpoint: `unix://${cluster.paths.runtimeSocket}`,
    image: testImage,
    cgroupParent: cgroup,
    pid: await daemonPid(cluster, "runtime"),
    loopReport,
    monitors: () => processes("conmon", cluster.dataDir),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** Debian's containerd, under our API server and kubelet. */
export async function containerdPeer(ociRuntime: OCIRuntime): Promise<Peer> {
  const why = await whyNoContainerd();
  if (why) throw new Error(why);
  await using stack = new AsyncDisposableStack();
  const containerd = stack.use(await startContainerd({ ociRuntime }));
  const cluster = stack.use(await startCluster({ runtimeEndpoint: containerd.endpoint }));
  const held = stack.move();
  return {
    name: `containerd + ${ociRuntime}`,
    cluster,
    endpoint: containerd.endpoint,
    image: containerd.image,
    cgroupParent: containerd.cgroupParent,
    pid: containerd.pid,
    monitors: () => processes("containerd-shim", containerd.folder),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

export async function loadTestImage(cluster: Cluster): Promise<void> {
  const folder = join(cluster.dataDir, "bench-image");
  try {
    const archive = await buildImageArchive(folder);
    const hawser = join(checkout, "node_modules/.bin/hawser");
    await must([hawser, "image", "load", "--socket", cluster.paths.runtimeSocket, archive]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function daemonPid(cluster: Cluster, hop: "apiserver" | "kubelet" | "runtime"): Promise<number> {
  const { pid } = JSON.parse(await readFile(join(cluster.paths.run, `${hop}.pid`), "utf8")) as { pid: number };
  return pid;
}

/** Processes of a program whose command line names the peer's own folder. */
async function processes(program: string, folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const line = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => ""); // it may just have ended
    const [path = "", ...args] = line.split("\0");
    if (basename(path).startsWith(program) && args.some((arg) => arg.includes(folder))) found.push(Number(entry));
  }
  return found;
}
