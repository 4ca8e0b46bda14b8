// Rows measured by our own CRI client: the runtimes side by side, with nothing else between.
import type { UpgradeKind } from "@hawser/streaming";
import { type CRIPeer, type CRIPod, openExec, openPod, removePod, startPod, succeeded } from "../cri-pod.ts";
import { type Contestant, race, timed } from "../measure.ts";
import type { Row } from "../table.ts";

/** ExecSync calls of one run of a calls-per-second row: so many for each caller, but no more than that in all. */
const callsEach = 20;
const callsInAll = 640;
/** What a command after an idle moment waits for first, milliseconds. */
const restMs = 100;

export interface Effort {
  /** Runs of a latency row; 30 or more unless in a hurry. */
  runs: number;
  signal: AbortSignal;
}

export async function criRows(peers: readonly CRIPeer[], { runs, signal }: Effort): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const pods: { peer: CRIPeer; pod: CRIPod }[] = [];
  for (const peer of peers) pods.push({ peer, pod: stack.use(await openPod(peer)) });
  const each = (run: (pod: CRIPod, peer: CRIPeer) => Promise<number>): Contestant[] =>
    pods.map(({ peer, pod }) => ({ name: peer.name, run: () => run(pod, peer) }));
  const row = async (title: string, contestants: Contestant[], unit: "ms" | "calls/s", count: number) => ({
    title,
    cells: await race(contestants, { unit, runs: count, signal, warmUp: unit === "ms" ? 5 : 1 }),
  });

  const few = Math.max(3, Math.ceil(runs / 6));
  return [
    await row(
      "ExecSync `true`, by RPC, ms",
      each((pod) => timed(() => execSync(pod))),
      "ms",
      runs,
    ),
    await row(
      `ExecSync \`true\`, by RPC, after ${restMs} ms of rest, ms`,
      each((pod) => rested(() => execSync(pod))),
      "ms",
      runs,
    ),
    await row(
      "Exec `true`, RPC and SPDY, ms",
      each((pod) => timed(() => execStream(pod, ["true"], "spdy"))),
      "ms",
      runs,
    ),
    await row(
      `Exec \`true\`, RPC and SPDY, after ${restMs} ms of rest, ms`,
      each((pod) => rested(() => execStream(pod, ["true"], "spdy"))),
      "ms",
      runs,
    ),
    await row(
      "Exec `true`, RPC and WebSocket v5, ms",
      each((pod) => timed(() => execStream(pod, ["true"], "websocket"))),
      "ms",
      runs,
    ),
    ...(await sequence([1, 8, 32, 128], (parallel) =>
      row(
        `ExecSync, ${parallel} in parallel, calls/s`,
        each((pod) => callsPerSecond(pod, parallel, signal)),
        "calls/s",
        few,
      ),
    )),
    await row(
      "RunPodSandbox + CreateContainer + StartContainer, ms",
      each((pod, peer) => podStart(pod, peer)),
      "ms",
      runs,
    ),
  ];
}

/** timed(), after an idle moment. */
async function rested(run: () => Promise<unknown>): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, restMs));
  return await timed(run);
}

async function sequence<T, R>(items: readonly T[], step: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await step(item));
  return results;
}

async function execSync({ cri, containerId }: CRIPod): Promise<void> {
  const { exitCode } = await cri.runtime.execSync({ containerId, cmd: ["true"], timeout: 10n });
  if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
}

async function execStream(pod: CRIPod, cmd: string[], transport: UpgradeKind): Promise<void> {
  await using session = await openExec(pod, cmd, { transport, stdin: false });
  for await (const _ of session.stdout ?? []);
  await succeeded(session.status);
}

async function callsPerSecond(pod: CRIPod, parallel: number, signal: AbortSignal): Promise<number> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(20_000)]); // containerd 1.6 may all but stop at 32
  const calls = Math.min(callsEach, Math.ceil(callsInAll / parallel));
  const took = await timed(() =>
    Promise.all(
      Array.from({ length: parallel }, async () => {
        for (let call = 0; call < calls; call++) {
          limit.throwIfAborted();
          await execSync(pod);
        }
      }),
    ),
  );
  return (parallel * calls * 1000) / took;
}

async function podStart({ cri }: CRIPod, peer: CRIPeer): Promise<number> {
  let podSandboxId = "";
  const took = await timed(async () => {
    ({ podSandboxId } = await startPod(cri, peer));
  });
  await removePod(cri, podSandboxId);
  return took;
}
