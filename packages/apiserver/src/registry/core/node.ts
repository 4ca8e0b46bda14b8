import { checkDNSSubdomain, type Node } from "@hawser/api";
import { ageColumn, nameColumn, text } from "../columns.ts";
import { define, type ResourceKind } from "../kind.ts";

const rolePrefix = "node-role.kubernetes.io/";

/** Source: kubernetes/kubernetes pkg/registry/core/node/strategy.go, pkg/printers/internalversion/printers.go printNode */
const node: ResourceKind<Node> = {
  group: "",
  version: "v1",
  resource: "nodes",
  kind: "Node",
  singular: "node",
  shortNames: ["no"],
  namespaced: false,
  checkName: checkDNSSubdomain,
  subresources: { status: {} },
  prepare(object) {
    object.spec ??= {};
    Object.assign(object, { status: object.status ?? {} });
  },
  fields: ({ spec }) => ({ "spec.unschedulable": String(spec?.unschedulable ?? false) }),
  columns: [
    nameColumn,
    text("Status", "The status of the node", statusOf),
    text("Roles", "The roles of the node", rolesOf),
    ageColumn,
    text("Version", "Kubelet version reported by the node.", ({ status }) => status?.nodeInfo?.kubeletVersion ?? ""),
    text("Internal-IP", "Address within the cluster.", (object) => addressOf(object, "InternalIP"), 1),
    text("External-IP", "Address from outside.", (object) => addressOf(object, "ExternalIP"), 1),
    text("OS-Image", "What the node runs.", ({ status }) => status?.nodeInfo?.osImage || "<unknown>", 1),
    text("Kernel-Version", "Its kernel.", ({ status }) => status?.nodeInfo?.kernelVersion || "<unknown>", 1),
    text(
      "Container-Runtime",
      "Its container runtime.",
      ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
      1,
    ),
  ],
};

export const nodes = define(node);

function statusOf({ spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const parts = [ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady"];
  if (spec?.unschedulable) parts.push("SchedulingDisabled");
  return parts.join(",");
}

function rolesOf({ metadata }: Node): string {
  const roles = Object.entries(metadata?.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) return [key.slice(rolePrefix.length)];
    return key === "kubernetes.io/role" && value ? [value] : [];
  });
  return [...new Set(roles)].toSorted().join(",");
}

function addressOf({ status }: Node, wanted: string): string {
  return status?.addresses?.find(({ type }) => type === wanted)?.address ?? "";
}
