import { checkDNSSubdomain, type Pod, qosClass } from "@hawser/api";
import { define, type ResourceKind } from "../../kind.ts";
import { podColumns } from "./columns.ts";
import { defaultPod } from "./defaults.ts";
import { addEphemeralContainers, validateEphemeralContainers } from "./ephemeral.ts";
import { validatePodUpdate } from "./update.ts";
import { validatePod } from "./validation.ts";

/** Source: kubernetes/kubernetes pkg/registry/core/pod/strategy.go */
const pod: ResourceKind<Pod> = {
  group: "",
  version: "v1",
  resource: "pods",
  kind: "Pod",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  checkName: checkDNSSubdomain,
  prepare(object) {
    defaultPod(object);
    Object.assign(object, {
      status: { phase: "Pending", ...(object.spec?.containers && { qosClass: qosOf(object) }) },
    });
  },
  validate: validatePod,
  update: { prepare: (next) => defaultPod(next), validate: validatePodUpdate },
  subresources: {
    status: {
      prepare(next, current) {
        // A kubelet that knows nothing of the class must not take it away.
        if (next.status && current.status?.qosClass) next.status.qosClass = current.status.qosClass;
      },
    },
    ephemeralcontainers: { prepare: addEphemeralContainers, validate: validateEphemeralContainers },
  },
  fields: ({ spec, status }) => ({
    "spec.nodeName": spec?.nodeName ?? "",
    "spec.restartPolicy": spec?.restartPolicy ?? "",
    "spec.schedulerName": spec?.schedulerName ?? "",
    "spec.serviceAccountName": spec?.serviceAccountName ?? "",
    "spec.hostNetwork": String(spec?.hostNetwork ?? false),
    "status.phase": status?.phase ?? "",
    "status.podIP": status?.podIP ?? "",
    "status.podIPs": (status?.podIPs ?? []).map(({ ip }) => ip ?? "").join(","),
    "status.nominatedNodeName": status?.nominatedNodeName ?? "",
  }),
  columns: podColumns,
  deletion: { gracePeriod, returnsObject: true },
};

export const pods = define(pod);

/** A pod that runs nowhere has nothing to wait for. */
function gracePeriod({ spec, status }: Pod, asked: number | undefined): number {
  const period = asked ?? spec?.terminationGracePeriodSeconds ?? 0;
  if (!spec?.nodeName || status?.phase === "Failed" || status?.phase === "Succeeded") return 0;
  return period < 0 ? 1 : period;
}

function qosOf({ spec }: Pod): string {
  try {
    return spec ? qosClass(spec) : "BestEffort";
  } catch {
    return "BestEffort"; // a quantity that is none: validation says so
  }
}
