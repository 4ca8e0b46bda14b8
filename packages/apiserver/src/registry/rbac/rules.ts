import type { Attributes, PolicyRule } from "../../request.ts";

/**
 * Whether one rule allows a request.
 *
 * Source: kubernetes/kubernetes pkg/apis/rbac/v1/evaluation_helpers.go
 */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  const { verb, apiGroup, resource, subresource, name, path } = attributes;
  if (!has(rule.verbs, verb)) return false;
  if (!attributes.isResourceRequest) return (rule.nonResourceURLs ?? []).some((url) => urlMatches(url, path));
  return has(rule.apiGroups, apiGroup) && resourceMatches(rule, resource, subresource) && nameMatches(rule, name);
}

function has(allowed: string[] | undefined, value: string): boolean {
  return allowed !== undefined && (allowed.includes("*") || allowed.includes(value));
}

/** A rule names `pods`, `pods/exec`, `*` for everything, or a star, a slash and a subresource for that of whatever. */
function resourceMatches({ resources = [] }: PolicyRule, resource: string, subresource: string): boolean {
  const combined = subresource ? `${resource}/${subresource}` : resource;
  return resources.some(
    (candidate) =>
      candidate === "*" || candidate === combined || (subresource !== "" && candidate === `*/${subresource}`),
  );
}

function nameMatches({ resourceNames = [] }: PolicyRule, name: string): boolean {
  return resourceNames.length === 0 || resourceNames.includes(name);
}

function urlMatches(pattern: string, path: string): boolean {
  if (pattern === "*" || pattern === path) return true;
  return pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1));
}

/**
 * Whether `owned` rules together allow all that `wanted` allows: nobody may hand out more than they have.
 *
 * Source: kubernetes/component-helpers auth/rbac/validation/policy_comparator.go
 */
export function covers(owned: PolicyRule[], wanted: PolicyRule): boolean {
  return breakdown(wanted).every((single) => owned.some((rule) => coversSingle(rule, single)));
}

/** A rule as single permissions: one verb, one group, one resource, at most one name; or one verb and one URL. */
function breakdown(rule: PolicyRule): PolicyRule[] {
  const names = rule.resourceNames?.length ? rule.resourceNames.map((name) => [name]) : [[]];
  const onResources = rule.verbs.flatMap((verb) =>
    (rule.apiGroups ?? []).flatMap((group) =>
      (rule.resources ?? []).flatMap((resource) =>
        names.map((resourceNames) => ({ verbs: [verb], apiGroups: [group], resources: [resource], resourceNames })),
      ),
    ),
  );
  const onURLs = rule.verbs.flatMap((verb) =>
    (rule.nonResourceURLs ?? []).map((url) => ({ verbs: [verb], nonResourceURLs: [url] })),
  );
  return [...onResources, ...onURLs];
}

function coversSingle(rule: PolicyRule, single: PolicyRule): boolean {
  if (!has(rule.verbs, single.verbs[0] ?? "")) return false;
  const [url] = single.nonResourceURLs ?? [];
  if (url !== undefined) return (rule.nonResourceURLs ?? []).some((pattern) => urlMatches(pattern, url));
  const [resource = "", subresource = ""] = (single.resources?.[0] ?? "").split("/");
  const [name] = single.resourceNames ?? [];
  if (!has(rule.apiGroups, single.apiGroups?.[0] ?? "") || !resourceMatches(rule, resource, subresource)) return false;
  return name === undefined ? (rule.resourceNames ?? []).length === 0 : nameMatches(rule, name);
}
