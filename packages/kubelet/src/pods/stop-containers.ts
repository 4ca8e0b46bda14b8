import type { KubeletContext } from "../context.ts";
import { killContainer } from "./container-operations.ts";
import { type BoundPod, type PodContainer, podContainers } from "./pod.ts";
import { isRunning, type PodView, type ViewContainer } from "./view.ts";

export interface StopOptions {
  /** Seconds, as the pod says now. */
  grace: () => number;
  /** Resolves when the pod says less. */
  graceChanged: () => Promise<void>;
  podIP: string;
  signal: AbortSignal;
}

/** Stops all of a pod's running containers side by side, its sidecars after the rest, the last one first. */
export async function stopContainers(
  context: Pick<KubeletContext, "runtime" | "events" | "now">,
  pod: BoundPod,
  view: PodView,
  { grace, graceChanged, podIP, signal }: StopOptions,
): Promise<void> {
  const known = new Map(podContainers(pod).map((what) => [what.container.name, what]));
  const running = [...view.containers].flatMap(([name, list]) =>
    list.filter((one) => isRunning(one)).map((target) => ({ name, target, what: known.get(name) })),
  );
  async function stop(one: { name: string; target: ViewContainer; what: PodContainer | undefined }): Promise<void> {
    for (;;) {
      const changed = graceChanged();
      const inputs = { message: `Stopping container ${one.name}`, grace: grace(), podIP, signal };
      const killed = killContainer(context, pod, one, inputs);
      const again = await Promise.race([killed.then(() => false), changed.then(() => true)]);
      if (!again) return;
      killed.catch(() => undefined); // the shorter one reports
    }
  }
  await Promise.all(running.filter(({ what }) => what?.kind !== "sidecar").map(stop));
  for (const sidecar of running.filter(({ what }) => what?.kind === "sidecar").reverse()) await stop(sidecar);
}
