import type { UserInfo } from "./request.ts";

// Source: kubernetes/apiserver pkg/authentication/user/user.go
export const Group = {
  masters: "system:masters",
  nodes: "system:nodes",
  authenticated: "system:authenticated",
  unauthenticated: "system:unauthenticated",
  serviceAccounts: "system:serviceaccounts",
} as const;

export const anonymous: UserInfo = { name: "system:anonymous", groups: [Group.unauthenticated] };

/** Adds `system:authenticated`, as every authenticated user has it. Groups are listed once each. */
export function authenticated(user: UserInfo): UserInfo {
  return { ...user, groups: [...new Set([...user.groups, Group.authenticated])] };
}

export interface ServiceAccountName {
  namespace: string;
  name: string;
}

/** Reads `system:serviceaccount:NAMESPACE:NAME`. */
export function serviceAccountOf(userName: string): ServiceAccountName | undefined {
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(userName);
  return match?.[1] && match[2] ? { namespace: match[1], name: match[2] } : undefined;
}

export function serviceAccountGroups({ namespace }: { namespace: string }): string[] {
  return [Group.serviceAccounts, `${Group.serviceAccounts}:${namespace}`];
}
