// A cluster of our own hops on this machine, with a registry beside it from which it pulls nginx and busybox.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Cluster,
  type ClusterOptions,
  type CommandOptions,
  type CommandResult,
  type Kubectl,
  newestKubectl,
  type Registry,
  runKubectl,
  startCluster,
} from "@hawser/testing";
import { registryWithImages } from "../scripts/registry-with-images.ts";

export interface OwnCluster extends Cluster {
  registry: Registry;
  kubectl(args: string[], options?: CommandOptions & { kubectl?: Kubectl }): Promise<CommandResult>;
  /** Throws when it fails; resolves with its stdout. */
  mustKubectl(args: string[], options?: CommandOptions & { kubectl?: Kubectl }): Promise<string>;
  /** Starts a pod and waits until it is Ready. */
  runPod(name: string, args: string[]): Promise<void>;
}

/** Where a runtime finds Docker Hub's images instead: a configuration file for it. */
export async function mirrorConfig(folder: string, registry: Registry, more: object = {}): Promise<string> {
  const path = join(folder, "runtime.yaml");
  await writeFile(path, JSON.stringify({ ...more, images: { mirrors: { "docker.io": [`http://${registry.host}`] } } }));
  return path;
}

/** `runtimeSettings`: further settings for the runtime's configuration file. */
export async function startOwnCluster(options: ClusterOptions = {}, runtimeSettings: object = {}): Promise<OwnCluster> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "hawser-own-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const registry = cleanup.use(await registryWithImages());
  const cluster = cleanup.use(
    await startCluster({ ...options, runtimeConfig: await mirrorConfig(folder, registry, runtimeSettings) }),
  );
  const kubectl: OwnCluster["kubectl"] = async (args, { kubectl: chosen, ...rest } = {}) =>
    runKubectl(chosen ?? (await newestKubectl()), args, { ...rest, kubeconfig: cluster.kubeconfig });
  const mustKubectl: OwnCluster["mustKubectl"] = async (args, rest) => {
    const { code, stdout, stderr } = await kubectl(args, rest);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  };
  const done = cleanup.move();
  return {
    ...cluster,
    registry,
    kubectl,
    mustKubectl,
    async runPod(name, args) {
      await mustKubectl(["run", name, ...args]);
      await mustKubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
    },
    [Symbol.asyncDispose]: () => done.disposeAsync(),
  };
}
