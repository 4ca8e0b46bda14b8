import { setTimeout as delay } from "node:timers/promises";
import { type Lease, type Node, StatusError } from "@hawser/api";
import type { KubeletContext } from "../context.ts";

const namespace = "kube-node-lease";
const apiVersion = "coordination.k8s.io/v1";

/**
 * Renews the node's Lease, four times as often as it would run out, until `signal` is aborted. That is the node's heartbeat.
 *
 * Source: kubernetes component-helpers apimachinery/lease/controller.go
 */
export async function keepLease(
  { client, settings, log, now }: Pick<KubeletContext, "client" | "settings" | "log" | "now">,
  signal: AbortSignal,
): Promise<void> {
  const ref = { apiVersion, resource: "leases", namespace, name: settings.nodeName };
  const period = settings.nodeLeaseDuration / 4;
  let lease: Lease | undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      lease = await renew(lease);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      lease = undefined; // read it again: someone else has written it
      if (failures++ % 10 === 0) log.warn("lease not renewed", { lease: settings.nodeName, error });
    }
    const pause = failures > 0 ? Math.min(200 * 2 ** Math.min(failures, 5), period) : period;
    await delay(pause, undefined, { signal }).catch(() => undefined);
  }

  async function renew(known: Lease | undefined): Promise<Lease> {
    const spec = {
      holderIdentity: settings.nodeName,
      leaseDurationSeconds: settings.nodeLeaseDuration / 1000,
      renewTime: new Date(now()).toISOString().replace("Z", "000Z"),
    };
    const current = known ?? (await client.get<Lease>(ref, { signal }).catch(absent));
    if (current) return client.update<Lease>(ref, { ...current, spec: { ...current.spec, ...spec } }, { signal });
    const { name: _, ...collection } = ref;
    // Owned by the node, so that it goes when the node goes.
    const node = await client.get<Node>({ resource: "nodes", name: settings.nodeName }, { signal }).catch(absent);
    const owner = { apiVersion: "v1", kind: "Node", name: settings.nodeName, uid: node?.metadata?.uid ?? "" };
    const metadata = { name: settings.nodeName, namespace, ...(owner.uid && { ownerReferences: [owner] }) };
    return client.create<Lease>(collection, { apiVersion, kind: "Lease", metadata, spec }, { signal });
  }
}

function absent(error: unknown): undefined {
  if (!(error instanceof StatusError) || error.code !== 404) throw error;
}
