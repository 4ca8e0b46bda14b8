import { StatusError } from "@hawser/api";
import type { Answer } from "../http/respond.ts";
import { keyPrefix, storedKind } from "../registry/kind.ts";
import { type ListPage, type ListQuery, listObjects } from "../registry/list.ts";
import { selectionOf } from "../registry/select.ts";
import { getObject } from "../registry/store.ts";
import {
  continueExpired,
  decodeContinue,
  encodeContinue,
  type ListQueryOptions,
  listOptions,
  revisionOf,
} from "./query.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { listAnswer, objectAnswer } from "./transform.ts";

/** GET of one object. */
export async function get({ store }: EndpointDeps, target: Target): Promise<Answer> {
  const { kind, context } = target;
  return objectAnswer(target, await getObject(store, storedKind(kind), context.info));
}

/** GET of a collection, in pages when asked for. */
export async function list(deps: EndpointDeps, target: Target): Promise<Answer> {
  const { kind, context } = target;
  const options = listOptions(context.url.searchParams, false);
  const { items, revision, next, remaining } = await page(deps, target, options);
  const prefix = keyPrefix(kind, kind.namespaced ? context.info.namespace : "");
  return listAnswer(target, items, {
    resourceVersion: String(revision),
    ...(next !== undefined && { continue: encodeContinue(revision, next.slice(prefix.length)) }),
    ...(remaining && { remainingItemCount: remaining }),
  });
}

async function page({ store }: EndpointDeps, { kind, context }: Target, options: ListQueryOptions): Promise<ListPage> {
  const { namespace } = context.info;
  const { limit } = options;
  const selection = selectionOf(kind, options);
  const query: ListQuery = { namespace, selection, limit, signal: context.signal };
  if (options.continue === "") return listObjects(store, storedKind(kind), { ...query, ...versionAsked(options) });
  const { revision, start } = decodeContinue(options.continue);
  const from = keyPrefix(kind, kind.namespaced ? namespace : "") + start;
  try {
    return await listObjects(store, storedKind(kind), { ...query, from, ...(revision > 0 && { exact: revision }) });
  } catch (error) {
    throw error instanceof StatusError && error.code === 410 ? continueExpired(start) : error;
  }
}

/** Source: kubernetes.io, API concepts, "Semantics for get and list" */
function versionAsked({
  resourceVersion,
  resourceVersionMatch,
  limit,
}: ListQueryOptions): Pick<ListQuery, "exact" | "notOlderThan"> {
  const revision = revisionOf(resourceVersion);
  if (revision === 0) return {};
  if (resourceVersionMatch === "Exact" || (resourceVersionMatch === "" && limit > 0)) return { exact: revision };
  return { notOlderThan: revision };
}
