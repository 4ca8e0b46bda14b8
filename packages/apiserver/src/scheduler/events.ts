import { type Event, type KubernetesObject, rfc3339 } from "@hawser/api";
import type { Logger } from "@hawser/trace";
import type { Objects } from "../request.ts";

export interface EventOptions {
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  action: string;
  component: string;
}

/** Tells people of something that happened to an object. A failure is logged: what happened has happened all the same. */
export async function recordEvent(
  { objects, log }: { objects: Pick<Objects, "create">; log: Logger },
  about: KubernetesObject & { kind: string },
  { type, reason, message, action, component }: EventOptions,
): Promise<void> {
  const { name = "", namespace = "default", uid, resourceVersion } = about.metadata ?? {};
  const now = new Date();
  const stamp = rfc3339(now);
  const unique = (BigInt(now.getTime()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n)).toString(16);
  const event: Event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${unique}`, namespace },
    involvedObject: {
      apiVersion: "v1",
      kind: about.kind,
      name,
      ...(about.metadata?.namespace && { namespace }),
      ...(uid && { uid }),
      ...(resourceVersion && { resourceVersion }),
    },
    type,
    reason,
    message,
    action,
    source: { component },
    reportingComponent: component,
    reportingInstance: "",
    firstTimestamp: stamp,
    lastTimestamp: stamp,
    count: 1,
  };
  try {
    await objects.create({ resource: "events", namespace }, event);
  } catch (error) {
    log.warn("event was not recorded", { reason, object: `${namespace}/${name}`, error });
  }
}
