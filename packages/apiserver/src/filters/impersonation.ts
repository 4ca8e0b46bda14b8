import { badRequest } from "@hawser/api";
import type { Access, Attributes, Request, UserInfo } from "../request.ts";
import { anonymous, authenticated, serviceAccountGroups, serviceAccountOf } from "../users.ts";
import { headerNames, headerValues, removeHeaders } from "./headers.ts";

const extraPrefix = "impersonate-extra-";

/**
 * Acts as the user the `Impersonate-*` headers name, if `user` may impersonate every part of that identity;
 * takes the headers out of the request. Without such headers, `user` itself.
 *
 * Throws StatusError 403 naming the part that may not be impersonated, 400 when no user is named.
 *
 * Source: kubernetes/apiserver pkg/endpoints/filters/impersonation/impersonation.go
 */
export async function impersonate(
  access: Pick<Access, "authorize">,
  user: UserInfo,
  request: Request,
): Promise<UserInfo> {
  if (headerNames(request, "impersonate-").length === 0) return user;
  const name = headerValues(request, "impersonate-user")[0] ?? "";
  const groups = headerValues(request, "impersonate-group").filter((group) => group !== "");
  const uid = headerValues(request, "impersonate-uid")[0] ?? "";
  const extra = Object.fromEntries(
    headerNames(request, extraPrefix).map((header) => [
      decodeKey(header.slice(extraPrefix.length)),
      headerValues(request, header),
    ]),
  );
  removeHeaders(request, (header) => header.startsWith("impersonate-"));
  if (name === "") {
    throw badRequest("requested impersonation of groups, a UID or extra fields without impersonating a user");
  }
  for (const attributes of wanted(name, { groups, uid, extra })) await access.authorize(user, attributes);
  const account = serviceAccountOf(name);
  const given = groups.length > 0 || !account ? groups : serviceAccountGroups(account);
  const impersonated = { name, ...(uid && { uid }), groups: given, ...(Object.keys(extra).length > 0 && { extra }) };
  return name === anonymous.name
    ? { ...impersonated, groups: [...given, ...anonymous.groups] }
    : authenticated(impersonated);
}

function wanted(name: string, who: { groups: string[]; uid: string; extra: Record<string, string[]> }): Attributes[] {
  const { groups, uid, extra } = who;
  const account = serviceAccountOf(name);
  const authentication = "authentication.k8s.io";
  return [
    account ? ask({ resource: "serviceaccounts", ...account }) : ask({ resource: "users", name }),
    ...groups.map((group) => ask({ resource: "groups", name: group })),
    ...(uid ? [ask({ resource: "uids", name: uid, apiGroup: authentication })] : []),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value) => ask({ resource: "userextras", subresource: key, name: value, apiGroup: authentication })),
    ),
  ];
}

function ask(what: Partial<Attributes> & Pick<Attributes, "resource" | "name">): Attributes {
  return {
    isResourceRequest: true,
    verb: "impersonate",
    apiGroup: "",
    apiVersion: what.apiGroup ? "v1" : "",
    namespace: "",
    subresource: "",
    path: "",
    ...what,
  };
}

/** Keys are percent-encoded in the header's name, because they may hold slashes. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
