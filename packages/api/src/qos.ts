import type { PodSpec } from "./core.ts";
import { milliValue, parseQuantity } from "./quantity.ts";

export type QOSClass = "Guaranteed" | "Burstable" | "BestEffort";

/**
 * A pod's quality-of-service class. Guaranteed: every container has limits for cpu and memory and requests just that.
 * BestEffort: none asks for anything. Throws RangeError for a quantity that is none.
 *
 * Source: kubernetes/kubernetes pkg/apis/core/v1/helper/qos/qos.go
 */
export function qosClass(spec: PodSpec): QOSClass {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const positive = (list: Record<string, string> | undefined, name: string) =>
    list?.[name] !== undefined && parseQuantity(String(list[name])) > 0;
  const asks = containers.some(({ resources = {} }) =>
    ["cpu", "memory"].some((name) => positive(resources.requests, name) || positive(resources.limits, name)),
  );
  if (!asks) return "BestEffort";
  const guaranteed = containers.every(({ resources: { requests, limits } = {} }) =>
    ["cpu", "memory"].every((name) => {
      const limit = limits?.[name];
      const request = positive(requests, name) ? requests?.[name] : limit;
      return limit && request && positive(limits, name) && milliValue(String(limit)) === milliValue(String(request));
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
