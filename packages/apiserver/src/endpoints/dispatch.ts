import { badRequest, checkPathSegment, failure, methodNotAllowed } from "@hawser/api";
import { negotiate, type Representation } from "../http/negotiate.ts";
import { type Answer, pageNotFound } from "../http/respond.ts";
import { pods } from "../registry/core/pod/pod.ts";
import type { ResourceKind } from "../registry/kind.ts";
import { findKind } from "../registry/kinds.ts";
import type { RequestContext } from "../request.ts";
import { bind } from "./binding.ts";
import { remove, removeCollection } from "./delete.ts";
import { evict } from "./eviction.ts";
import { patch } from "./patch.ts";
import { get, list } from "./read.ts";
import { review, reviewKinds } from "./reviews.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { requestToken } from "./token.ts";
import { canRepresent } from "./transform.ts";
import { watch } from "./watch.ts";
import { create, update } from "./write.ts";

type Verb = (deps: EndpointDeps, target: Target) => Promise<Answer>;

const verbs: Record<string, Verb> = {
  get,
  list,
  create,
  update,
  patch,
  delete: remove,
  deletecollection: removeCollection,
};
/** What a subresource that is part of its object can do. */
const partVerbs: Record<string, Verb> = { get, update, patch };
/** Subresources that are created and leave nothing behind under their own name. */
const actions: Record<string, Verb> = {
  "pods/binding": bind,
  "pods/eviction": evict,
  "serviceaccounts/token": requestToken,
};
const plain: Representation = { mediaType: "application/json", parameters: {} };

/**
 * Answers an authorized request on a resource; undefined when it has answered itself, as a watch does.
 * Throws StatusError.
 */
export async function dispatch(deps: EndpointDeps, context: RequestContext): Promise<Answer | undefined> {
  const { info } = context;
  if (info.apiVersion !== "v1") return pageNotFound;
  for (const part of [info.namespace, info.name]) {
    // A slash that came percent-encoded would lead to another object's key.
    const [wrong] = checkPathSegment(part);
    if (wrong) throw badRequest(`invalid path: ${JSON.stringify(part)} ${wrong}`);
  }
  const asked = reviewKinds.find(({ group, resource }) => group === info.apiGroup && resource === info.resource);
  if (asked) {
    if (info.verb !== "create" || info.subresource) throw methodNotAllowed();
    return review(deps.access, asked, context);
  }
  if (info.apiGroup === "" && info.resource === "bindings") {
    if (info.verb !== "create" || info.name) throw methodNotAllowed();
    return bind(deps, { kind: pods, context, representation: plain });
  }
  const kind = findKind({ group: info.apiGroup, resource: info.resource });
  if (!kind || !inScope(kind, context)) return pageNotFound;
  if (info.subresource) return subresource(deps, context, kind);
  if (info.verb === "watch") return startWatch(deps, context, kind);
  const verb = verbs[info.verb];
  const onName = info.verb === "update" || info.verb === "patch";
  if (!verb || (info.verb === "create" ? info.name !== "" : onName && info.name === "")) throw methodNotAllowed();
  if (info.verb === "deletecollection" && kind.resource === "namespaces") throw methodNotAllowed();
  return verb(deps, { kind, context, representation: representationFor(context, info.verb) });
}

/** A namespaced kind's objects are in a namespace; only lists and watches may be of all. */
function inScope(kind: ResourceKind, { info }: RequestContext): boolean {
  const byPath = info.path.includes("/namespaces/");
  if (kind.resource === "namespaces") return true;
  if (!kind.namespaced) return !byPath;
  return byPath ? info.namespace !== "" : info.verb === "list" || info.verb === "watch";
}

async function startWatch(deps: EndpointDeps, context: RequestContext, kind: ResourceKind): Promise<undefined> {
  const { response } = context;
  if (!response) throw badRequest("a watch cannot be upgraded");
  await watch(deps, { kind, context, representation: representationFor(context, "watch") }, response);
}

function representationFor({ request, info }: RequestContext, verb: string): Representation {
  const many = verb === "list" || verb === "deletecollection";
  const forms = ["Table", many ? "PartialObjectMetadataList" : "PartialObjectMetadata"];
  const representation = negotiate(request.headers.accept, canRepresent(info.subresource ? [] : forms));
  // A stream of YAML documents is nothing that a client of a watch could ask for.
  return verb === "watch" ? { ...representation, mediaType: "application/json" } : representation;
}

async function subresource(
  deps: EndpointDeps,
  context: RequestContext,
  kind: ResourceKind,
): Promise<Answer | undefined> {
  const { info } = context;
  if (kind.resource === "pods") {
    if (info.subresource === "log") {
      if (info.verb !== "get") throw methodNotAllowed();
      await deps.pods.podLog(context);
      return undefined;
    }
    if (info.subresource === "exec" || info.subresource === "attach" || info.subresource === "portforward") {
      if (info.verb !== "get" && info.verb !== "create") throw methodNotAllowed();
      await deps.pods.connectPod(info.subresource, context, undefined); // refuses: first what is not there, then that it is no upgrade
      return undefined;
    }
  }
  if (kind.resource === "nodes" && info.subresource === "proxy") {
    await deps.pods.proxyNode(context);
    return undefined;
  }
  if (info.subresource === "proxy") {
    throw failure({ code: 501, reason: "", message: `${kind.resource}/proxy is not implemented` });
  }
  const action = actions[`${kind.resource}/${info.subresource}`];
  if (action) {
    if (info.verb !== "create") throw methodNotAllowed();
    return action(deps, { kind, context, representation: plain });
  }
  if (!kind.subresources || !Object.hasOwn(kind.subresources, info.subresource)) return pageNotFound;
  const verb = partVerbs[info.verb];
  if (!verb) throw methodNotAllowed();
  return verb(deps, { kind, context, representation: representationFor(context, info.verb) });
}
