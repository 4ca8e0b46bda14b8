import { containerHash, hashAnnotation } from "./labels.ts";
import { type BoundPod, type PodContainer, podContainers, restartPolicy, restarts } from "./pod.ts";
import { attemptOf, isExited, isRunning, newest, type PodView, readySandbox, type ViewContainer } from "./view.ts";

export interface Start {
  what: PodContainer;
  attempt: number;
  /** The start that ended before this one: it decides about back-off. */
  after?: ViewContainer | undefined;
}

export interface Kill {
  container: ViewContainer;
  name: string;
  message: string;
}

export type Plan =
  /** Every container has ended for good: what is left of the pod may stop. */
  | { type: "finish" }
  /** No sandbox is up: what is left of the old one goes, then a new one comes. */
  | { type: "sandbox"; attempt: number }
  | { type: "containers"; kill: Kill[]; start: Start[] };

/** What the probes have found so far, by container id. */
export interface Verdicts {
  startupPassed(containerId: string): boolean;
  /** The startup or liveness probe that has failed for good. */
  failed(containerId: string): "startup" | "liveness" | undefined;
}

/**
 * Compares what a pod asks for with what the runtime has, and says what to do next. Decides nothing about back-off.
 *
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go computePodActions
 */
export function plan(pod: BoundPod, view: PodView, verdicts: Verdicts): Plan {
  const sandbox = readySandbox(view);
  const containers = podContainers(pod);
  const started = containers.some(({ kind, container }) => kind === "regular" && newest(view, container.name));
  if (initFailed(pod, view, containers) || (started && allDone(pod, view, containers))) return { type: "finish" };
  if (!sandbox) {
    const [last] = view.sandboxes;
    // A pod that must not restart has had its one chance.
    if (last && restartPolicy(pod) === "Never" && view.containers.size > 0) return { type: "finish" };
    return { type: "sandbox", attempt: last ? (last.metadata?.attempt ?? 0) + 1 : 0 };
  }

  const current = (name: string) => view.containers.get(name)?.find(({ sandboxId }) => sandboxId === sandbox.id);
  const result: { type: "containers"; kill: Kill[]; start: Start[] } = { type: "containers", kill: [], start: [] };
  const initialised = containers.some(({ kind, container }) => kind === "regular" && current(container.name));

  function tend(what: PodContainer): void {
    const { kind, container } = what;
    const found = current(container.name);
    const before = newest(view, container.name);
    const attempt = before ? attemptOf(before) + 1 : 0;
    if (!found) {
      const ended = isExited(before) ? before.status.exitCode : undefined;
      const due = ended === undefined || kind === "init" || restarts(pod, kind, ended);
      if (due) result.start.push({ what, attempt, after: before });
    } else if (isRunning(found)) {
      const message = reasonToKill(what, found, verdicts);
      if (message) result.kill.push({ container: found, name: container.name, message });
    } else if (!isExited(found) || restarts(pod, kind, found.status.exitCode)) {
      result.start.push({ what, attempt, after: found });
    }
  }

  let blocked = false;
  for (const what of containers) {
    if (what.kind === "init" || what.kind === "sidecar") {
      if (blocked || (initialised && what.kind === "init")) continue;
      const found = current(what.container.name);
      const passed =
        what.kind === "init"
          ? isExited(found) && found.status.exitCode === 0
          : isRunning(found) && verdicts.startupPassed(found.status.id);
      if (!(what.kind === "init" && passed)) tend(what);
      blocked = !passed && !initialised;
    } else if (what.kind === "regular") {
      if (!blocked) tend(what);
    } else if (!newest(view, what.container.name)) tend(what);
  }
  return result;
}

function reasonToKill({ kind, container }: PodContainer, found: ViewContainer, verdicts: Verdicts): string | undefined {
  if (kind === "ephemeral") return undefined;
  const { id, annotations } = found.status;
  const failed = verdicts.failed(id);
  if (failed) return `Container ${container.name} failed ${failed} probe, will be restarted`;
  const hash = annotations[hashAnnotation];
  if (hash && hash !== containerHash(container))
    return `Container ${container.name} definition changed, will be restarted`;
  return undefined;
}

function initFailed(pod: BoundPod, view: PodView, containers: PodContainer[]): boolean {
  return containers.some(({ kind, container }) => {
    const last = newest(view, container.name);
    return (
      kind === "init" && isExited(last) && last.status.exitCode !== 0 && !restarts(pod, kind, last.status.exitCode)
    );
  });
}

function allDone(pod: BoundPod, view: PodView, containers: PodContainer[]): boolean {
  return containers
    .filter(({ kind }) => kind === "regular")
    .every(({ kind, container }) => {
      const last = newest(view, container.name);
      return isExited(last) && !restarts(pod, kind, last.status.exitCode);
    });
}
