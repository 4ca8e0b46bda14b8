// The post's cluster: three hosts with its addresses, the API server on the master, kubelet and runtime on the worker,
// kubectl on "any machine", and a registry that has nginx.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Background,
  background,
  type CommandOptions,
  type CommandResult,
  childrenOf,
  createLab,
  eventually,
  type Kubectl,
  kubectlCommand,
  type Lab,
  newestKubectl,
  type On,
  onTerminal,
  postAddresses,
  type Registry,
  runKubectl,
} from "@hawser/testing";
import { type ClusterPaths, down, type Hop, type Launcher, logFile, type UpOptions, up } from "hawser";
import { registryWithImages } from "../scripts/registry-with-images.ts";

export const workerName = "k8s-node-1";
export const apiAddress = `${postAddresses.master}:6443`;
export const kubeletAddress = `${postAddresses.worker}:10250`;

export interface PostLab extends AsyncDisposable {
  lab: Lab;
  paths: ClusterPaths;
  registry: Registry;
  pids: Partial<Record<Hop, number>>;
  onClient: On;
  onMaster: On;
  onWorker: On;
  /** What a hop has logged. */
  log(hop: Hop): Promise<string>;
  /** Runs kubectl on "any machine"; the newest one there is, unless another is given. */
  kubectl(args: string[], options?: CommandOptions & { kubectl?: Kubectl }): Promise<CommandResult>;
  /** As `kubectl`, and throws when it fails. Resolves with its stdout. */
  mustKubectl(args: string[], options?: CommandOptions & { kubectl?: Kubectl }): Promise<string>;
  /** Starts kubectl on a terminal; `pid` in the answer is kubectl's own. */
  interactive(args: string[], options?: { kubectl?: Kubectl; rows?: number; columns?: number }): Promise<Session>;
  /** Starts kubectl with pipes, its stdin held open. */
  piped(args: string[], options?: { kubectl?: Kubectl }): Background;
}

/** A kubectl on a terminal. */
export interface Session extends AsyncDisposable {
  terminal: Background;
  /** kubectl's own pid. */
  pid: number;
}

export interface PostLabOptions {
  ociRuntime?: "crun" | "runc" | undefined;
  /** Starts a runtime that is not ours, on the worker, and answers its endpoint. */
  foreignRuntime?:
    | ((worker: { on: On; registry: Registry }) => Promise<{ endpoint: string } & AsyncDisposable>)
    | undefined;
  verbosity?: number | undefined;
  /** false: commands enter containers by the OCI runtime's own exec, as the post tells it. */
  execHelper?: boolean | undefined;
}

/** Builds it all. Resolves when the node is Ready. */
export async function startPostLab({
  ociRuntime,
  foreignRuntime,
  verbosity = 8,
  execHelper = true,
}: PostLabOptions = {}): Promise<PostLab> {
  await using cleanup = new AsyncDisposableStack();
  const lab = cleanup.use(await createLab());
  const [onClient, onMaster, onWorker]: On[] = [
    (command) => lab.on("client", command),
    (command) => lab.on("master", command),
    (command) => lab.on("worker", command),
  ];
  if (!onClient || !onMaster || !onWorker) throw new Error("three hosts");
  const registry = cleanup.use(await registryWithImages(onWorker));
  const foreign = foreignRuntime && cleanup.use(await foreignRuntime({ on: onWorker, registry }));

  const folder = await mkdtemp(join(tmpdir(), "hawser-post-"));
  const dataDir = join(folder, "data");
  const runtimeConfig = join(folder, "runtime.yaml");
  const images = { mirrors: { "docker.io": [`http://${registry.host}`] } };
  await writeFile(runtimeConfig, JSON.stringify({ images, exec: { helper: execHelper } }));
  const launcher: Launcher = (hop, command) => (hop === "apiserver" ? onMaster(command) : onWorker(command));
  cleanup.defer(async () => {
    await down({ dataDir, launcher });
    await rm(folder, { recursive: true, force: true }); // not after a failed down: something may be mounted below
  });
  const kubectl: PostLab["kubectl"] = async (args, { kubectl: chosen, ...options } = {}) => {
    const place = { kubeconfig: join(dataDir, "kubeconfig"), netns: lab.netns("client") };
    return runKubectl(chosen ?? (await newestKubectl()), args, { ...options, ...place, env: { HOME: folder } });
  };
  const mustKubectl: PostLab["mustKubectl"] = async (args, options) => {
    const { code, stdout, stderr } = await kubectl(args, options);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  };
  const settings: UpOptions = {
    dataDir,
    launcher,
    apiAddress: postAddresses.master,
    nodeAddress: postAddresses.worker,
    nodeName: workerName,
    ociRuntime,
    verbosity,
    ...(foreign ? { runtimeEndpoint: foreign.endpoint } : { runtimeConfig }),
    // This test's own process is on none of the three hosts: kubectl looks for it.
    probe: {
      apiReady: async () => void (await mustKubectl(["get", "--raw=/readyz"])),
      nodeReady: (_kubeconfig, node) =>
        eventually(
          `node ${node} is Ready`,
          async () => (await kubectl(["wait", "--for=condition=Ready", `node/${node}`, "--timeout=20s"])).code === 0,
          { timeoutMs: 60_000, everyMs: 100 },
        ).then(() => {}),
    },
  };
  const { paths, pids } = await up(settings);
  const commandLine = async (args: string[], chosen?: Kubectl) =>
    kubectlCommand(chosen ?? (await newestKubectl()), args, {
      kubeconfig: paths.kubeconfig,
      netns: lab.netns("client"),
    });

  const done = cleanup.move();
  return {
    lab,
    paths,
    registry,
    pids,
    onClient,
    onMaster,
    onWorker,
    log: (hop) => readFile(logFile(paths, hop), "utf8"),
    kubectl,
    mustKubectl,
    async interactive(args, { kubectl: chosen, ...size } = {}) {
      await using stack = new AsyncDisposableStack();
      const terminal = stack.use(onTerminal(await commandLine(args, chosen), { env: { HOME: folder }, ...size }));
      const pid = await eventually("kubectl's process", async () => (await childrenOf(terminal.pid))[0]);
      stack.move(); // the terminal is its caller's
      return { terminal, pid, [Symbol.asyncDispose]: () => terminal[Symbol.asyncDispose]() };
    },
    piped(args, { kubectl: chosen } = {}) {
      if (!chosen) throw new Error("piped needs a kubectl");
      const place = { kubeconfig: paths.kubeconfig, netns: lab.netns("client") };
      return background(kubectlCommand(chosen, args, place), { env: { HOME: folder } });
    },
    [Symbol.asyncDispose]: () => done.disposeAsync(),
  };
}
