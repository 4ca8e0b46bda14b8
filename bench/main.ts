// `make bench`: prints the table of docs/benchmarks.md, measured now. `--quick` for a look; `--only WORD` for some rows, `--peer WORD`
// for those contestants alone whose names have the word.
import { parseArgs } from "node:util";
import { newestKubectl } from "@hawser/testing";
import { describeMachine } from "./machine.ts";
import { samples } from "./measure.ts";
import { containerdPeer, daemonPid, hawserPeer, type Peer } from "./peers.ts";
import { benchPod, clusterRows, runPod } from "./rows/cluster.ts";
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

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    peer: { type: "string", multiple: true },
  },
});
const runs = values.quick ? 5 : 30;
const wanted = (section: string) => values.only === undefined || values.only.includes(section);

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const)
  process.once(name, () => interrupted.abort(new Error(`stopped by ${name}`)));
const effort = { runs, signal: interrupted.signal };
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

const machine = await describeMachine();
await using stack = new AsyncDisposableStack();
const peers: Peer[] = [];
const starters: [string, () => Promise<Peer>][] = [
  ["Hawser + crun", () => hawserPeer("crun")],
  ["Hawser + runc", () => hawserPeer("runc")],
  ["containerd + runc", () => containerdPeer("runc")],
  ["containerd + crun", () => containerdPeer("crun")],
];
for (const [name, start] of starters) {
  if (values.peer && !values.peer.some((word) => name.includes(word))) continue;
  say(`starting ${name}`);
  try {
    peers.push(stack.use(await start()));
  } catch (error) {
    say(`skipped: ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
const [ours] = peers;
if (!ours) throw new Error("no contestant could be started");

const rows: Row[] = [];
const section = async (name: string, measure: () => Promise<Row[]>) => {
  if (!wanted(name)) return;
  say(`measuring ${name}`);
  rows.push(...(await measure()));
};
await section("floor", async () => [await floorRow(ours, effort)]);
await section("cri", () => criRows(peers, effort));
if (["cluster", "streams", "idle"].some(wanted)) {
  for (const { cluster, image } of peers) await runPod(cluster.client, { name: benchPod.pod, image });
}
await section("streams", () => streamRows(peers, effort));
await section("idle", () => idleRows(peers, values.quick ? 100 : 1000, effort));
await section("cluster", async () => clusterRows(peers, { ...effort, kubectl: await newestKubectl() }));
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
