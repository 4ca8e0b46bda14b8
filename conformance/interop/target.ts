// The runtimes of docs/interop.md, each below our API server and our kubelet, with the pods the verbs are tried on.
import type { Container, Pod } from "@hawser/api";
import { type Cluster, eventually, startCluster } from "@hawser/testing";
import { loadTestImage } from "../../bench/peers.ts";
import { type Containerd, startContainerd, whyNoContainerd } from "../containerd/containerd.ts";
import { testImage } from "../containerd/image.ts";

export interface Target extends AsyncDisposable {
  name: string;
  cluster: Cluster;
  /** The runtime's CRI endpoint. */
  endpoint: string;
}

export const runtimes = ["hawser with crun", "containerd with runc"] as const;
export type RuntimeName = (typeof runtimes)[number];

/** How many lines the pod `counted` has logged. */
export const countedLines = 20_000;
/** Where the pod `web` answers with what it is sent. */
export const echoPort = 7070;

/** Why a runtime cannot be had on this machine; undefined when it can. */
export async function whyNotRun(name: RuntimeName): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "a cluster needs root";
  return name === "hawser with crun" ? undefined : await whyNoContainerd();
}

/** Resolves when the pods run. Throws where the runtime cannot be had. */
export async function startTarget(name: RuntimeName): Promise<Target> {
  await using stack = new AsyncDisposableStack();
  // At 8 the API server tells of each session's headers, which is how we see what was spoken.
  const containerd = name === "hawser with crun" ? undefined : stack.use(await peer());
  const cluster = stack.use(await (containerd ? over(containerd) : ours()));
  await createPods(cluster);
  const held = stack.move();
  const endpoint = containerd?.endpoint ?? `unix://${cluster.paths.runtimeSocket}`;
  return { name, cluster, endpoint, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function ours(): Promise<Cluster> {
  const cluster = await startCluster({ ociRuntime: "crun", verbosity: 8 });
  await loadTestImage(cluster);
  return cluster;
}

async function peer(): Promise<Containerd> {
  const why = await whyNoContainerd();
  if (why) throw new Error(why);
  return await startContainerd();
}

function over({ endpoint }: Containerd): Promise<Cluster> {
  return startCluster({ runtimeEndpoint: endpoint, verbosity: 8 });
}

async function createPods({ client }: Cluster): Promise<void> {
  const shell = (script: string, more: Partial<Container> = {}): Container => {
    const command = ["sh", "-c", script];
    return { name: "c", image: testImage, imagePullPolicy: "IfNotPresent", command, ...more };
  };
  const pods: Record<string, Container> = {
    web: shell(`mkdir -p /data; exec socat TCP-LISTEN:${echoPort},fork,reuseaddr EXEC:cat`),
    talker: shell('while read line; do echo "heard $line"; done', { stdin: true }),
    counted: shell(`seq 1 ${countedLines}; exec sleep infinity`),
    finished: shell("seq 1 100"),
  };
  for (const [name, container] of Object.entries(pods)) {
    const spec = { containers: [container], restartPolicy: "Never" as const, terminationGracePeriodSeconds: 0 };
    await client.create<Pod>({ resource: "pods", namespace: "default" }, { metadata: { name }, spec });
  }
  for (const name of Object.keys(pods)) {
    const wanted = name === "finished" ? "Succeeded" : "Running";
    await eventually(`pod ${name}: ${wanted}`, async () => {
      const pod = await client.get<Pod>({ resource: "pods", namespace: "default", name });
      return pod.status?.phase === wanted;
    });
  }
}
