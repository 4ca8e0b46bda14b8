import { badRequest, type KubernetesObject, StatusError } from "@hawser/api";
import { admitCreation } from "../admission/namespace-lifecycle.ts";
import { decodeBody, readBody } from "../http/body.ts";
import type { Answer } from "../http/respond.ts";
import { type ResourceKind, type Subresource, storedKind } from "../registry/kind.ts";
import { createObject, type ObjectId, updateObject } from "../registry/store.ts";
import { asKind, type Decoded } from "./decode.ts";
import { fieldValidationOf, isDryRun } from "./query.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { objectAnswer, withWarnings } from "./transform.ts";

/** POST on a collection. */
export async function create(deps: EndpointDeps, target: Target): Promise<Answer> {
  const { store, access } = deps;
  const { kind, context } = target;
  const { namespace } = context.info;
  const { object, warnings } = await readObject(target);
  await admitCreation(store, kind, { namespace, name: object.metadata?.name ?? "" });
  await access.admit(context.user, context.info, object);
  const made = await createObject(store, storedKind(kind), object, {
    namespace,
    dryRun: isDryRun(context.url.searchParams),
  });
  return withWarnings(await objectAnswer(target, made, 201), warnings);
}

/** PUT of one object, or of its status. */
export async function update(deps: EndpointDeps, target: Target): Promise<Answer> {
  const { store, access } = deps;
  const { kind, context } = target;
  const { info, url } = context;
  const { object, warnings } = await readObject(target);
  checkName(kind, object, info);
  const dryRun = isDryRun(url.searchParams);
  const subresource = info.subresource as Subresource;
  try {
    const change = async () => {
      const next = structuredClone(object);
      await access.admit(context.user, info, next);
      return next;
    };
    const updated = await updateObject(store, storedKind(kind), info, change, { subresource, dryRun });
    return withWarnings(await objectAnswer(target, updated), warnings);
  } catch (error) {
    const missing = error instanceof StatusError && error.code === 404;
    if (!missing || !kind.createOnUpdate || subresource !== "" || object.metadata?.resourceVersion) throw error;
  }
  await admitCreation(store, kind, info);
  await access.admit(context.user, { ...info, verb: "create" }, object);
  const made = await createObject(store, storedKind(kind), object, { namespace: info.namespace, dryRun });
  return withWarnings(await objectAnswer(target, made, 201), warnings);
}

async function readObject({ kind, context }: Target): Promise<Decoded> {
  const { request, signal, url } = context;
  const validation = fieldValidationOf(url.searchParams);
  const body = await readBody(request, signal);
  const decoded = asKind(kind, await decodeBody(body, request.headers["content-type"]), validation);
  return kind.view ? { ...decoded, object: kind.view.fromView(decoded.object) } : decoded;
}

/** The object names itself as the path does, or not at all. Throws StatusError 400. */
export function checkName(kind: ResourceKind, object: KubernetesObject, { name, namespace }: ObjectId): void {
  object.metadata ??= {};
  const { metadata } = object;
  if (!metadata.name) metadata.name = name;
  if (metadata.name !== name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
  }
  if (!kind.namespaced) return;
  if (!metadata.namespace) metadata.namespace = namespace;
  if (metadata.namespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}
