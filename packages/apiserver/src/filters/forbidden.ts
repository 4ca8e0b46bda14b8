import { failure, forbidden, type StatusError } from "@hawser/api";
import type { Attributes, UserInfo } from "../request.ts";

/**
 * The 403 of an authorizer that said no, in the words people and scripts match on. `reason` may be empty.
 *
 * Source: kubernetes/apiserver pkg/endpoints/handlers/responsewriters/errors.go
 */
export function forbiddenError(user: UserInfo, attributes: Attributes, reason: string): StatusError {
  const message = sanitize(deniedText(user, attributes));
  const why = reason === "" ? message : `${message}: ${reason}`;
  const { isResourceRequest, apiGroup, resource, name } = attributes;
  if (isResourceRequest) return forbidden({ group: apiGroup, resource }, name, why);
  return failure({ code: 403, reason: "Forbidden", message: `forbidden: ${why}`, details: {} });
}

function deniedText({ name: userName }: UserInfo, attributes: Attributes): string {
  const { isResourceRequest, verb, path, resource, subresource, apiGroup, namespace } = attributes;
  const who = `User ${quote(userName)} cannot ${verb}`;
  if (!isResourceRequest) return `${who} path ${quote(path)}`;
  const what = subresource ? `${resource}/${subresource}` : resource;
  const where = namespace ? `in the namespace ${quote(namespace)}` : "at the cluster scope";
  return `${who} resource ${quote(what)} in API group ${quote(apiGroup)} ${where}`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** An error must not look like HTML to a browser. */
function sanitize(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
