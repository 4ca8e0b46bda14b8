// From nothing to the first exec's answer.
import { exec } from "@hawser/client";
import { startCluster } from "@hawser/testing";
import { testImage } from "../../conformance/containerd/image.ts";
import { samples } from "../measure.ts";
import { loadTestImage } from "../peers.ts";
import type { Row } from "../table.ts";
import { runPod } from "./cluster.ts";
import type { Effort } from "./cri.ts";

/** `hawser up` in a new data directory, a pod of a loaded image, `exec true`; the loading of the image is not counted. */
export async function upRow(name: string, { runs, signal }: Effort): Promise<Row[]> {
  const up: number[] = [];
  const first: number[] = [];
  for (let run = 0; run < runs; run++) {
    signal.throwIfAborted();
    const begin = performance.now();
    await using cluster = await startCluster();
    const ready = performance.now();
    await loadTestImage(cluster);
    const loaded = performance.now();
    await runPod(cluster.client, { name: "first", image: testImage });
    const { exitCode } = await exec(cluster.client, {
      namespace: "default",
      pod: "first",
      command: ["true"],
      stdout: new WritableStream(),
    });
    if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
    up.push(ready - begin);
    first.push(performance.now() - begin - (loaded - ready));
  }
  return [
    { title: "`hawser up`, ms", cells: new Map([[name, samples("ms", up)]]) },
    { title: "`hawser up` to the first exec's answer, ms", cells: new Map([[name, samples("ms", first)]]) },
  ];
}
