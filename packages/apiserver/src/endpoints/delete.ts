import { badRequest, type KubernetesObject, StatusError } from "@hawser/api";
import { admitDeletion } from "../admission/namespace-lifecycle.ts";
import type { Answer } from "../http/respond.ts";
import { type Deleted, type DeleteOptions, deleteObject } from "../registry/delete.ts";
import { storedKind } from "../registry/kind.ts";
import { listObjects } from "../registry/list.ts";
import { selectionOf } from "../registry/select.ts";
import { readMembers } from "./members.ts";
import { isDryRun, listOptions } from "./query.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { listAnswer, objectAnswer, successAnswer } from "./transform.ts";

/** DELETE of one object. */
export async function remove({ store }: EndpointDeps, target: Target): Promise<Answer> {
  const { kind, context } = target;
  const options = await optionsOf(target);
  admitDeletion(kind, context.info.name);
  const { object, gone } = await deleteObject(store, storedKind(kind), context.info, options);
  if (gone && !kind.deletion?.returnsObject) return deletedAnswer(target, object);
  return objectAnswer(target, object);
}

function deletedAnswer({ kind }: Target, { metadata }: KubernetesObject): Answer {
  const details = {
    name: metadata?.name ?? "",
    ...(kind.group && { group: kind.group }),
    kind: kind.resource,
    ...(metadata?.uid && { uid: metadata.uid }),
  };
  return successAnswer({ status: "Success", details });
}

/** DELETE of a collection: each selected object. One that goes meanwhile is no error. */
export async function removeCollection({ store }: EndpointDeps, target: Target): Promise<Answer> {
  const { kind, context } = target;
  const options = await optionsOf(target);
  const { namespace } = context.info;
  const selection = selectionOf(kind, listOptions(context.url.searchParams, false));
  const { items, revision } = await listObjects(store, storedKind(kind), {
    namespace,
    selection,
    signal: context.signal,
  });
  const deleted: Deleted[] = [];
  for (const { metadata } of items) {
    context.signal.throwIfAborted();
    const id = { namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
    admitDeletion(kind, id.name);
    try {
      deleted.push(await deleteObject(store, storedKind(kind), id, options));
    } catch (error) {
      if (!(error instanceof StatusError && error.code === 404)) throw error;
    }
  }
  return listAnswer(
    target,
    deleted.map(({ object }) => object),
    { resourceVersion: String(revision) },
  );
}

async function optionsOf({ context }: Target): Promise<DeleteOptions> {
  return deleteOptionsOf(await readMembers(context, "DeleteOptions"), context.url.searchParams);
}

/** From the body, and where that says nothing from the query. Throws StatusError 400. */
export function deleteOptionsOf(body: Record<string, unknown>, query: URLSearchParams): DeleteOptions {
  const { gracePeriodSeconds, preconditions, dryRun = [] } = body;
  const grace = gracePeriodSeconds ?? query.get("gracePeriodSeconds") ?? undefined;
  const seconds = grace === undefined ? undefined : Number(grace);
  if (seconds !== undefined && !Number.isSafeInteger(seconds)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`);
  }
  return {
    ...(seconds !== undefined && { gracePeriodSeconds: seconds }),
    ...(preconditions ? { preconditions: preconditions as NonNullable<DeleteOptions["preconditions"]> } : {}),
    dryRun: isDryRun(query) || (Array.isArray(dryRun) && dryRun.includes("All")),
  };
}
