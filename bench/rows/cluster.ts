// Rows measured through our own hops, which drive each runtime in turn: what a person or a kubelet's user sees.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Node, Pod } from "@hawser/api";
import { exec, type KubeClient } from "@hawser/client";
import { type ClientSession, openRemoteCommand } from "@hawser/streaming";
import { type Cluster, checkout, type Kubectl, kubectlCommand, must } from "@hawser/testing";
import { type Contestant, race, timed } from "../measure.ts";
import type { Row } from "../table.ts";
import type { Effort } from "./cri.ts";

export interface ClusterPeer {
  name: string;
  cluster: Cluster;
  /** An image the node has already. */
  image: string;
}

const namespace = "default";
const pod = "bench";
const container = "c";

/** Where the pod is in which the rows' commands run. */
export const benchPod = { namespace, pod, container };

/** Exec through one hop more in each row, then a pod's way to Running. */
export async function clusterRows(
  peers: readonly ClusterPeer[],
  { runs, signal, kubectl }: Effort & { kubectl: Kubectl },
): Promise<Row[]> {
  const kubelets = new Map<string, KubeletAccess>();
  for (const { name, cluster } of peers) kubelets.set(name, await kubeletAccess(cluster));
  const each = (run: (peer: ClusterPeer) => Promise<number>): Contestant[] =>
    peers.map((peer) => ({ name: peer.name, run: () => run(peer) }));
  const row = async (title: string, contestants: Contestant[], unit: "ms") => ({
    title,
    cells: await race(contestants, { unit, runs, signal }),
  });
  const hawser = join(checkout, "node_modules/.bin/hawser");
  const atKubelet = async ({ name }: ClusterPeer) => {
    const access = kubelets.get(name);
    if (!access) throw new Error("no kubelet");
    await finish(await openAtKubelet(access, ["true"]));
  };
  return [
    await row(
      "exec `true` at the kubelet, ms",
      each((peer) => timed(() => atKubelet(peer))),
      "ms",
    ),
    await row(
      "exec `true` at the API server, ms",
      each(({ cluster }) => timed(() => execTrue(cluster.client))),
      "ms",
    ),
    await row(
      "`hawser exec`, whole command, ms",
      each(({ cluster }) => timed(() => must([hawser, ...commandLine(cluster)]))),
      "ms",
    ),
    await row(
      `kubectl ${kubectl.version} exec, whole command, ms`,
      each(({ cluster }) =>
        timed(() =>
          must(kubectlCommand(kubectl, ["exec", pod, "--", "true"], cluster), { env: { HOME: cluster.dataDir } }),
        ),
      ),
      "ms",
    ),
    await row(
      "pod created to Running, ms",
      each((peer) => podStart(peer)),
      "ms",
    ),
  ];
}

function commandLine({ kubeconfig }: Cluster): string[] {
  return ["exec", `--kubeconfig=${kubeconfig}`, pod, "--", "true"];
}

interface KubeletAccess {
  url: URL;
  tls: { ca: Buffer; cert: Buffer; key: Buffer };
}

/** The kubelet's address, with the credentials the API server has for it. */
async function kubeletAccess({ client, nodeName, kubeletPort, paths }: Cluster): Promise<KubeletAccess> {
  const node = await client.get<Node>({
    resource: "nodes",
    name: nodeName,
  });
  const address = node.status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
  const [ca, cert, key] = await Promise.all(
    ["ca.crt", "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key"].map((file) =>
      readFile(join(paths.pki, file)),
    ),
  );
  if (!address || !ca || !cert || !key) throw new Error("no way to the kubelet");
  return { url: new URL(`https://${address}:${kubeletPort}`), tls: { ca, cert, key } };
}

function openAtKubelet({ url, tls }: KubeletAccess, command: string[]): Promise<ClientSession> {
  const target = new URL(`/exec/${namespace}/${pod}/${container}`, url);
  for (const word of command) target.searchParams.append("command", word);
  target.searchParams.set("output", "1");
  return openRemoteCommand({ url: target, tls }, { stdin: false, stdout: true, stderr: false, tty: false });
}

async function finish(session: ClientSession): Promise<void> {
  await using open = session;
  for await (const _ of open.stdout ?? []);
  const { status, message } = await open.status;
  if (status !== "Success") throw new Error(message ?? status);
}

async function execTrue(client: KubeClient): Promise<void> {
  const stdout = new WritableStream<Uint8Array>();
  const { exitCode } = await exec(client, { namespace, pod, container, command: ["true"], stdout });
  if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
}

let serial = 0;

async function podStart({ cluster: { client }, image }: ClusterPeer): Promise<number> {
  const name = `start-${serial++}`;
  const took = await timed(() => runPod(client, { name, image }));
  await removePod(client, name);
  return took;
}

/** Resolves when the API server knows it no more; its container may take a moment. */
export async function removePod(client: KubeClient, name: string): Promise<void> {
  await client.delete({ resource: "pods", namespace, name }, { gracePeriodSeconds: 0 });
}

/** Creates a pod that sleeps and resolves as soon as the API says that it runs. */
export async function runPod(client: KubeClient, { name, image }: { name: string; image: string }): Promise<void> {
  const over = new AbortController();
  const events = client.watch<Pod>(
    { resource: "pods", namespace },
    {
      fieldSelector: `metadata.name=${name}`,
      resourceVersion: "0",
      signal: AbortSignal.any([over.signal, AbortSignal.timeout(60_000)]),
    },
  );
  const metadata = { name, namespace };
  const containers = [{ name: container, image, imagePullPolicy: "Never", command: ["sleep", "100000"] }];
  await client.create(
    { resource: "pods", namespace },
    { apiVersion: "v1", kind: "Pod", metadata, spec: { terminationGracePeriodSeconds: 0, containers } },
  );
  try {
    for await (const { type, object } of events) {
      if (type === "ERROR") throw new Error(`watch of pod ${name}: ${JSON.stringify(object)}`);
      if (object.status?.phase === "Running") return;
    }
    throw new Error(`the watch of pod ${name} ended`);
  } finally {
    over.abort();
  }
}
