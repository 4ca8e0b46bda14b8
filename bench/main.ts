// `make bench`: prints the table of docs/benchmarks.md, measured now. --help says what else it does.
import { newestKubectl } from "@hawser/testing";
import { removeLeftovers } from "./leftovers.ts";
import { describeMachine } from "./machine.ts";
import { samples } from "./measure.ts";
import { type Options, type PeerName, parseOptions, type Section, UsageAnswer } from "./options.ts";
import { containerdPeer, daemonPid, hawserPeer, type Peer } from "./peers.ts";
import { benchPod, clusterRows, removePod, runPod } from "./rows/cluster.ts";
import { criRows } from "./rows/cri.ts";
import { dataRows } from "./rows/data.ts";
import { floorRow } from "./rows/floor.ts";
import { idleRows } from "./rows/idle.ts";
import { loopRows } from "./rows/loop.ts";
import { memoryRows, pss } from "./rows/memory.ts";
import { podRows } from "./rows/pods.ts";
import { streamRows } from "./rows/streams.ts";
import { upRow } from "./rows/up.ts";
import { markdown, type Row } from "./table.ts";

const { runs, quick, wants, peers: chosen } = readOptions();

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const)
  process.once(name, () => interrupted.abort(new Error(`stopped by ${name}`)));
const effort = { runs, signal: interrupted.signal };
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

const machine = await describeMachine();
await using stack = new AsyncDisposableStack();
stack.defer(removeLeftovers); // last of all
const peers: Peer[] = [];
const starters: Record<PeerName, () => Promise<Peer>> = {
  "Hawser + crun": () => hawserPeer("crun"),
  "Hawser + runc": () => hawserPeer("runc"),
  "containerd + runc": () => containerdPeer("runc"),
  "containerd + crun": () => containerdPeer("crun"),
};
for (const name of chosen) {
  say(`starting ${name}`);
  try {
    peers.push(stack.use(await starters[name]()));
  } catch (error) {
    say(`skipped: ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
const [ours] = peers;
if (!ours) throw new Error("no contestant could be started");

const rows: Row[] = [];
const section = async (name: Section, measure: () => Promise<Row[]>) => {
  if (!wants(name)) return;
  say(`measuring ${name}`);
  rows.push(...(await measure()));
};
await section("floor", async () => [await floorRow(ours, effort)]);
await section("cri", () => criRows(peers, effort));
const needsPods = (["cluster", "streams", "idle"] as const).some(wants);
if (needsPods) {
  for (const { cluster, image } of peers) await runPod(cluster.client, { name: benchPod.pod, image });
}
await section("streams", () => streamRows(peers, effort));
await section("idle", () => idleRows(peers, quick ? 100 : 1000, effort));
await section("cluster", async () => clusterRows(peers, { ...effort, kubectl: await newestKubectl() }));
if (needsPods) for (const { cluster } of peers) await removePod(cluster.client, benchPod.pod);
await section("memory", () => memoryRows(peers));
await section("pods", () => podRows(peers, effort));
await section("data", () => dataRows(peers, effort));
await section("loop", () => loopRows(peers, effort));
await section("daemons", () => daemonRows(ours));
await section("up", () => upRow(ours.name, effort));

const names = peers.map(({ name }) => name);
process.stdout.write(
  `${machine.map((line) => `- ${line}`).join("\n")}\n- medians of ${runs} runs, the contestants in turn; throughput and calls per second of ${Math.max(3, Math.ceil(runs / 6))}\n\n${markdown(names, rows)}\n`,
);

/** Our own API server and kubelet; the runtimes' daemons have a row of their own. */
async function daemonRows({ name, cluster }: Peer): Promise<Row[]> {
  const hops = ["apiserver", "kubelet"] as const;
  const rows: Row[] = [];
  for (const hop of hops) {
    const weight = await pss(await daemonPid(cluster, hop));
    rows.push({ title: `our ${hop}, Pss, MB`, cells: new Map([[name, samples("MB", [weight])]]) });
  }
  return rows;
}

/** The command line's; without one that can be followed this process ends here. */
function readOptions(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageAnswer)) throw error;
    (error.exitCode === 0 ? process.stdout : process.stderr).write(error.message);
    process.exit(error.exitCode);
  }
}
