import { badRequest, type KubernetesObject } from "@hawser/api";
import type { Answer } from "../http/respond.ts";
import { bindPod } from "../registry/objects.ts";
import { readMembers } from "./members.ts";
import { isDryRun } from "./query.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { successAnswer } from "./transform.ts";

interface Body extends KubernetesObject {
  target?: { kind?: string; name?: string };
}

/** POST pods/NAME/binding, and the older POST bindings. */
export async function bind({ store }: EndpointDeps, { context }: Target): Promise<Answer> {
  const { info, url } = context;
  const body = (await readMembers(context, "Binding")) as Body;
  const { metadata = {}, target = {} } = body;
  if (target.kind && target.kind !== "Node")
    throw badRequest(
      `Binding: target.kind: Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`,
    );
  if (!target.name) throw badRequest("Binding: target.name: Required value");
  const name = info.resource === "bindings" ? metadata.name : info.name;
  if (!name) throw badRequest("Binding: metadata.name: Required value");
  const binding = {
    namespace: info.namespace,
    name,
    dryRun: isDryRun(url.searchParams),
    ...(metadata.uid && { uid: metadata.uid }),
    ...(metadata.annotations && { annotations: metadata.annotations }),
  };
  await bindPod(store, binding, target.name);
  return { ...successAnswer({ status: "Success" }), code: 201 };
}
