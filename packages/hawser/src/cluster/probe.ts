import type { Node } from "@hawser/api";
import { createClient, loadKubeconfig } from "@hawser/client";

/** How `up` looks at the API from outside. A test whose cluster lives in a network namespace brings its own. */
export interface APIProbe {
  /** Resolves when the API server says it is ready. */
  apiReady(kubeconfig: string, signal: AbortSignal): Promise<void>;
  /** Resolves when the node's Ready condition is True and was said at or after `since` (milliseconds since the epoch). */
  nodeReady(kubeconfig: string, node: string, since: number, signal: AbortSignal): Promise<void>;
}

export const clientProbe: APIProbe = {
  async apiReady(kubeconfig, signal) {
    await using client = createClient(await loadKubeconfig({ path: kubeconfig }));
    await client.request({ method: "GET", path: "/readyz", signal });
  },

  async nodeReady(kubeconfig, name, since, signal) {
    await using client = createClient(await loadKubeconfig({ path: kubeconfig }));
    while (!signal.aborted) {
      // Without a resourceVersion a watch begins with what there is.
      for await (const event of client.watch<Node>(
        { resource: "nodes" },
        { fieldSelector: `metadata.name=${name}`, signal },
      )) {
        if ((event.type === "ADDED" || event.type === "MODIFIED") && isReady(event.object, since)) return;
      }
    }
    signal.throwIfAborted();
  },
};

/** A kept state may hold a Ready of the last life: only what was said since counts. Times in conditions are whole seconds. */
export function isReady(node: Node, since: number): boolean {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  const said = Date.parse(String(ready?.lastHeartbeatTime ?? ""));
  return ready?.status === "True" && said >= Math.floor(since / 1000) * 1000;
}
