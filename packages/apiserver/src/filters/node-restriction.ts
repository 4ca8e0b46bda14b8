import { forbidden, type KubernetesObject, type Pod } from "@hawser/api";
import type { Attributes, UserInfo } from "../request.ts";
import { nodeNameOf } from "./node-authorizer.ts";

const mirrorAnnotation = "kubernetes.io/config.mirror";

/**
 * Refuses what a node writes beyond itself: another node's Node or Lease, and pods that are not its own mirror pods.
 * For callers that are no nodes it does nothing. Throws StatusError 403.
 *
 * Source: kubernetes/kubernetes plugin/pkg/admission/noderestriction/admission.go
 */
export function restrictNode(user: UserInfo, attributes: Attributes, object: KubernetesObject): void {
  const node = nodeNameOf(user);
  if (node === undefined) return;
  const { apiGroup, resource, subresource, verb } = attributes;
  const name = object.metadata?.name ?? attributes.name;
  const refuse = (why: string) => {
    throw forbidden({ group: apiGroup, resource }, name, why);
  };
  if (apiGroup === "" && resource === "nodes" && name !== node) {
    refuse(`node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`);
  }
  if (apiGroup === "coordination.k8s.io" && resource === "leases" && name !== node) {
    refuse("can only access node lease with the same name as the requesting node");
  }
  // The registry stores pods under `pods`.
  if (apiGroup === "" && resource === "pods" && subresource === "" && verb === "create")
    restrictPod(node, object as Pod, refuse);
}

function restrictPod(node: string, { metadata, spec }: Pod, refuse: (why: string) => void): void {
  const who = `node ${JSON.stringify(node)}`;
  if (metadata?.annotations?.[mirrorAnnotation] === undefined) {
    refuse(`pod does not have ${JSON.stringify(mirrorAnnotation)} annotation, ${who} can only create mirror pods`);
  }
  if (spec?.nodeName !== node) refuse(`${who} can only create pods with spec.nodeName set to itself`);
  if (spec?.serviceAccountName) refuse(`${who} can not create pods that reference a service account`);
  const [owner, second] = metadata?.ownerReferences ?? [];
  if (!owner || second || owner.kind !== "Node" || owner.name !== node) {
    refuse(`${who} can only create pods with an owner reference set to itself`);
  }
}
