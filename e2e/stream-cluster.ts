// What the tests of streams share: a cluster with a pod to work in, and the clients that come through its whole path.
import { createHash, type Hash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { podExecOptionsQuery } from "@hawser/api";
import { loadKubeconfig } from "@hawser/client";
import { type ClientSession, type OpenOptions, openRemoteCommand } from "@hawser/streaming";
import { type ClusterOptions, checkout, kubectlCommand, kubectls, processes, run } from "@hawser/testing";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";

/** `make test-long` sets it: the sizes of the long forms. */
export const long = process.env.HAWSER_TEST_LONG === "1";

/** A client: a command line before its arguments. */
export interface Client {
  name: string;
  /** With another kubeconfig than the cluster's own, where one is given. */
  command(args: string[], kubeconfig?: string): string[];
  env: NodeJS.ProcessEnv;
  /** Whether it speaks WebSocket first, and not SPDY alone. */
  webSockets: boolean;
}

export interface StreamCluster extends OwnCluster {
  /** The oldest genuine kubectl (SPDY), the newest (WebSocket), and ours. */
  clients: Client[];
  /** Those of them that are genuine; every one that is found, in the long form. */
  kubectls: Client[];
  /** Ours. */
  hawser: Client;
  /** Runs a shell's script in the pod `box`, by CRI-sized means: one line of output, trimmed. */
  inBox(script: string): Promise<string>;
}

/** A cluster with a pod `box` (busybox) that does nothing. */
export async function startStreamCluster(
  options: ClusterOptions = {},
  container: object = {},
  runtimeSettings: object = {},
): Promise<StreamCluster> {
  await using cleanup = new AsyncDisposableStack();
  const cluster = cleanup.use(await startOwnCluster(options, runtimeSettings));
  await createPod(cluster, "box", { command: ["sleep", "1000000"], ...container });
  const env = { HOME: cluster.dataDir, KUBECONFIG: "" };
  const genuine = (await kubectls()).map((kubectl) => ({
    name: `kubectl ${kubectl.version}`,
    command: (args: string[], kubeconfig = cluster.kubeconfig) => kubectlCommand(kubectl, args, { kubeconfig }),
    env,
    webSockets: kubectl.minor >= 30,
  }));
  const program = join(checkout, "packages/hawser/bin/hawser.cjs");
  const hawser = {
    name: "hawser",
    command: (args: string[], kubeconfig = cluster.kubeconfig) => [
      process.execPath,
      program,
      `--kubeconfig=${kubeconfig}`,
      ...args,
    ],
    env,
    webSockets: true,
  };
  const [oldest, newest] = [genuine[0], genuine.at(-1)];
  if (!oldest || !newest) throw new Error("no kubectl: scripts/install.sh peers brings Debian's");
  const done = cleanup.move();
  return {
    ...cluster,
    clients: [...new Set([oldest, newest]), hawser],
    kubectls: long ? genuine : [...new Set([oldest, newest])],
    hawser,
    async inBox(script) {
      const { code, stdout, stderr } = await run(hawser.command(["exec", "box", "--", "sh", "-c", script]), { env });
      if (code !== 0) throw new Error(`in the pod: ${script}: exit code ${code}: ${stderr}`);
      return stdout.trim();
    },
    [Symbol.asyncDispose]: () => done.disposeAsync(),
  };
}

/** Makes a pod of one container, `name`, and waits until it is Ready. */
export async function createPod(cluster: OwnCluster, name: string, container: object): Promise<void> {
  const spec = { terminationGracePeriodSeconds: 0, containers: [{ name, image: "busybox", ...container }] };
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
  await cluster.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(pod) });
  await cluster.mustKubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
}

/** Opens an exec in `box` with our library, by one transport and protocol of choice. */
export async function openInBox(
  { kubeconfig }: Pick<OwnCluster, "kubeconfig">,
  command: string[],
  options: Partial<OpenOptions> = {},
): Promise<ClientSession> {
  const { tty = false, stdin = false, ...rest } = options;
  const streams = { stdin, stdout: true, stderr: !tty, tty };
  const config = await loadKubeconfig({ path: kubeconfig });
  const url = new URL("/api/v1/namespaces/default/pods/box/exec", config.server);
  url.search = podExecOptionsQuery({ ...streams, command, container: "box" }).toString();
  return openRemoteCommand({ url, headers: await config.headers({}), tls: config.tls }, { ...streams, ...rest });
}

/** Host pids of the processes `sleep WORD`. */
export async function sleepers(word: string): Promise<number[]> {
  return (await processes()).filter(({ args }) => args === `sleep ${word}`).map(({ pid }) => pid);
}

/** The SHA-256 of a stream, and its length. */
export async function digestOf(source: AsyncIterable<Uint8Array>): Promise<{ sha256: string; bytes: number }> {
  const hash: Hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of source) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  return { sha256: hash.digest("hex"), bytes };
}

/** The cluster's kubeconfig with another address in it. */
export async function kubeconfigFor(cluster: StreamCluster, server: string): Promise<string> {
  const text = await readFile(cluster.kubeconfig, "utf8");
  const path = join(cluster.dataDir, `kubeconfig-${randomBytes(4).toString("hex")}`);
  await writeFile(path, text.replace(/server: \S+/, `server: ${server}`));
  return path;
}
