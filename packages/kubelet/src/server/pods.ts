import type { Pod } from "@hawser/api";
import type { PodManager } from "../pods/manager.ts";
import { isRunning } from "../pods/view.ts";
import type { KubeletSettings } from "../settings.ts";

interface PodList {
  kind: "PodList";
  apiVersion: "v1";
  metadata: Record<string, never>;
  items: Pod[];
}

function list(items: Pod[]): PodList {
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

/** The pods bound to this node, with the newest status the kubelet has of them. */
export function listPods(pods: Pick<PodManager, "workers">): PodList {
  return list(pods.workers().map(({ pod, status = {} }) => ({ ...pod, status })));
}

/** What runs, and nothing else. */
export function listRunningPods(pods: Pick<PodManager, "workers">): PodList {
  const items = pods.workers().flatMap(({ pod, view }): Pod[] => {
    const containers = [...view.containers].flatMap(([name, [current]]) =>
      isRunning(current) ? [{ name, image: current.status.imageRef }] : [],
    );
    const { name, namespace, uid } = pod.metadata;
    return containers.length > 0 ? [{ metadata: { name, namespace, uid }, spec: { containers } }] : [];
  });
  return list(items);
}

/** The settings in force, as far as they have no secrets, which is all of them. */
export function configz(settings: KubeletSettings): unknown {
  return { kubeletconfig: settings };
}
