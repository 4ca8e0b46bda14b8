// Questions that are asked by creating them: whose token is this, may they do that.
import { badRequest } from "@hawser/api";
import { type Answer, jsonAnswer } from "../http/respond.ts";
import type { Access, Attributes, PolicyRule, RequestContext, UserInfo } from "../request.ts";
import { readMembers } from "./members.ts";

export interface ReviewKind {
  group: string;
  resource: string;
  kind: string;
  namespaced: boolean;
  answer(access: Access, spec: Members, context: RequestContext): Promise<Members>;
}

type Members = Record<string, unknown>;

/** Source: kubernetes/api authentication/v1/types.go, authorization/v1/types.go */
export const reviewKinds: ReviewKind[] = [
  {
    group: "authentication.k8s.io",
    resource: "tokenreviews",
    kind: "TokenReview",
    namespaced: false,
    async answer(access, { token }) {
      if (typeof token !== "string" || token === "")
        throw badRequest("token is required for TokenReview in authentication");
      const user = await access.authenticateToken(token);
      return user ? { authenticated: true, user: wireUser(user) } : { user: {} };
    },
  },
  {
    group: "authentication.k8s.io",
    resource: "selfsubjectreviews",
    kind: "SelfSubjectReview",
    namespaced: false,
    answer: async (_access, _spec, { user }) => ({ userInfo: wireUser(user) }),
  },
  {
    group: "authorization.k8s.io",
    resource: "subjectaccessreviews",
    kind: "SubjectAccessReview",
    namespaced: false,
    answer: (access, spec) => decision(access, subjectOf(spec), spec),
  },
  {
    group: "authorization.k8s.io",
    resource: "localsubjectaccessreviews",
    kind: "LocalSubjectAccessReview",
    namespaced: true,
    answer(access, spec, { info }) {
      if (membersOf(spec.resourceAttributes).namespace !== info.namespace) {
        throw badRequest("spec.resourceAttributes.namespace must match metadata.namespace");
      }
      return decision(access, subjectOf(spec), spec);
    },
  },
  {
    group: "authorization.k8s.io",
    resource: "selfsubjectaccessreviews",
    kind: "SelfSubjectAccessReview",
    namespaced: false,
    answer: (access, spec, { user }) => decision(access, user, spec),
  },
  {
    group: "authorization.k8s.io",
    resource: "selfsubjectrulesreviews",
    kind: "SelfSubjectRulesReview",
    namespaced: false,
    async answer(access, { namespace }, { user }) {
      if (typeof namespace !== "string" || namespace === "") throw badRequest("no namespace on request");
      const rules = (await access.rules?.(user, namespace)) ?? [];
      return {
        resourceRules: rules.filter(({ nonResourceURLs }) => !nonResourceURLs?.length).map(resourceRule),
        nonResourceRules: rules
          .filter(({ nonResourceURLs }) => nonResourceURLs?.length)
          .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
        incomplete: access.rules === undefined,
      };
    },
  },
];

/** POST of a review: the same object with its answer as status. */
export async function review(
  access: Access,
  { kind, group, answer }: ReviewKind,
  context: RequestContext,
): Promise<Answer> {
  const { info } = context;
  const body = await readMembers(context, kind);
  const spec = membersOf(body.spec);
  const status = await answer(access, spec, context);
  const { metadata = {} } = body;
  return jsonAnswer(
    { kind, apiVersion: `${group}/${info.apiVersion}`, metadata, ...(body.spec !== undefined && { spec }), status },
    201,
  );
}

async function decision(access: Access, user: UserInfo, spec: Members): Promise<Members> {
  const { allowed, reason } = await access.decide(user, attributesOf(spec));
  return { allowed, ...(reason && { reason }) };
}

function attributesOf(spec: Members): Attributes {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    throw badRequest("exactly one of nonResourceAttributes or resourceAttributes must be specified");
  }
  const of = membersOf(resourceAttributes ?? nonResourceAttributes);
  const text = (name: string) => (typeof of[name] === "string" ? of[name] : "");
  return {
    isResourceRequest: resourceAttributes !== undefined,
    verb: text("verb"),
    apiGroup: text("group"),
    apiVersion: text("version"),
    namespace: text("namespace"),
    resource: text("resource"),
    subresource: text("subresource"),
    name: text("name"),
    path: text("path"),
  };
}

function subjectOf({ user, groups, uid, extra }: Members): UserInfo {
  if (!user && !(Array.isArray(groups) && groups.length > 0)) {
    throw badRequest("at least one of user or group must be specified");
  }
  return {
    name: typeof user === "string" ? user : "",
    groups: Array.isArray(groups) ? groups.filter((group) => typeof group === "string") : [],
    ...(typeof uid === "string" && { uid }),
    ...(extra ? { extra: extra as Record<string, string[]> } : {}),
  };
}

function wireUser({ name, uid, groups, extra }: UserInfo): Members {
  return { username: name, ...(uid && { uid }), groups, ...(extra && { extra }) };
}

function resourceRule({ verbs, apiGroups, resources, resourceNames }: PolicyRule): Members {
  return { verbs, apiGroups, resources, ...(resourceNames?.length && { resourceNames }) };
}

function membersOf(value: unknown): Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : {};
}
