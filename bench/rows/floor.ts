// The floor under every exec: `crun exec` by itself, into a container of ours.
import { must } from "@hawser/testing";
import { type CRIPeer, openPod } from "../cri-pod.ts";
import { race, timed } from "../measure.ts";
import type { Row } from "../table.ts";
import type { Effort } from "./cri.ts";

/** Runs in the runtime's mount namespace, where crun finds a cgroup layout that it takes. */
export async function floorRow(peer: CRIPeer & { pid: number }, { runs, signal }: Effort): Promise<Row> {
  await using pod = await openPod(peer);
  const ociRoot = await stateFolder(pod.containerId);
  const inside = ["nsenter", `--mount=/proc/${peer.pid}/ns/mnt`, "--"];
  // Several in one shell: the spawning of a process by this program, which forks, would be measured otherwise.
  const count = 10;
  const loop = `for i in $(seq ${count}); do crun --root "$0" exec "$1" true || exit 1; done`;
  const run = async () => (await timed(() => must([...inside, "sh", "-c", loop, ociRoot, pod.containerId]))) / count;
  return {
    title: "bare `crun exec true`, ms",
    cells: await race([{ name: peer.name, run }], { unit: "ms", runs, signal }),
  };
}

/** Where crun keeps the container's state, as its monitor was told. */
async function stateFolder(containerId: string): Promise<string> {
  const commands = await must(["ps", "-eo", "args="]);
  const monitor = commands.split("\n").find((line) => line.includes("conmon") && line.includes(containerId));
  const folder = /--root=(\S+)/.exec(monitor ?? "")?.[1];
  if (!folder) throw new Error(`no monitor of container ${containerId} names crun's root`);
  return folder;
}
