import { badRequest } from "@hawser/api";
import type { Answer } from "../http/respond.ts";
import { deleteObject } from "../registry/delete.ts";
import { deleteOptionsOf } from "./delete.ts";
import { readMembers } from "./members.ts";
import { isDryRun } from "./query.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { successAnswer } from "./transform.ts";

/**
 * POST pods/NAME/eviction: a deletion that a disruption budget may refuse. There are no budgets here, so none does.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/storage/eviction.go
 */
export async function evict({ store }: EndpointDeps, { kind, context }: Target): Promise<Answer> {
  const { info, url } = context;
  const { metadata = {}, deleteOptions = {} } = await readMembers(context, "Eviction");
  const { name = info.name } = metadata as { name?: string };
  if (name !== info.name) throw badRequest("name in URL does not match name in Eviction object");
  const options = deleteOptionsOf(deleteOptions as Record<string, unknown>, new URLSearchParams());
  await deleteObject(store, kind, info, { ...options, dryRun: options.dryRun || isDryRun(url.searchParams) });
  return successAnswer({ status: "Success", code: 201 });
}
