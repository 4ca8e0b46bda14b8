import { isDeepStrictEqual } from "node:util";
import { badRequest } from "@hawser/api";
import { isMembers, setMember } from "./json-patch.ts";
import type { MergeRule, MergeType } from "./merge-keys.ts";

type Members = Record<string, unknown>;

const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

/**
 * Applies a strategic merge patch to a copy of `document`: as a merge patch, but lists of named things are merged by name.
 * Throws StatusError 400 for a directive it does not know or an item without its key.
 *
 * Source: kubernetes/apimachinery pkg/util/strategicpatch/patch.go
 */
export function applyStrategicMergePatch(document: Members, patch: Members, type: MergeType): Members {
  return mergeMembers(structuredClone(document), structuredClone(patch), type);
}

function mergeMembers(current: Members, patch: Members, type: MergeType): Members {
  const { $patch: directive, $retainKeys: retain, ...changes } = patch;
  if (directive === "replace") return withoutDirectives(changes);
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge") throw unknownDirective(directive);
  const result = Array.isArray(retain) ? onlyKeys(current, retain) : current;
  for (const [name, value] of Object.entries(changes)) {
    if (name.startsWith(deletePrefix)) deleteValues(result, name.slice(deletePrefix.length), value);
  }
  for (const [name, value] of Object.entries(changes)) {
    if (name.startsWith("$")) continue;
    if (value === null) delete result[name];
    else
      setMember(
        result,
        name,
        mergeValue(Object.hasOwn(result, name) ? result[name] : undefined, value, ruleOf(type, name)),
      );
  }
  for (const [name, value] of Object.entries(changes)) {
    if (name.startsWith(orderPrefix)) reorder(result, name.slice(orderPrefix.length), value, type);
  }
  return result;
}

function ruleOf(type: MergeType, name: string): MergeRule {
  return (Object.hasOwn(type, name) ? type[name] : undefined) ?? {};
}

function mergeValue(current: unknown, patch: unknown, rule: MergeRule): unknown {
  if (isMembers(patch)) return mergeMembers(isMembers(current) ? current : {}, patch, rule.of ?? {});
  if (!Array.isArray(patch) || rule.key === undefined)
    return Array.isArray(patch) ? patch.map(withoutDirectives) : patch;
  const list = Array.isArray(current) ? current : [];
  return rule.key === ""
    ? [...list, ...patch.filter((one) => !list.includes(one))]
    : mergeList(list, patch, { ...rule, key: rule.key });
}

function mergeList(current: unknown[], patch: unknown[], rule: MergeRule & { key: string }): unknown[] {
  const items = patch.map((item) => {
    if (isMembers(item)) return item;
    throw badRequest(`unable to merge: a list item is no object: ${JSON.stringify(item)}`);
  });
  if (items.some(({ $patch }) => $patch === "replace")) {
    return items.filter(({ $patch }) => $patch !== "replace").map(withoutDirectives);
  }
  const result = [...current];
  for (const item of items) {
    const value = item[rule.key];
    if (value === undefined)
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${rule.key}`);
    const at = result.findIndex((one) => isMembers(one) && isDeepStrictEqual(one[rule.key], value));
    const found = result[at];
    if (item.$patch === "delete") {
      if (at >= 0) result.splice(at, 1);
    } else if (isMembers(found)) result[at] = mergeMembers(found, item, rule.of ?? {});
    else result.push(mergeMembers({}, item, rule.of ?? {}));
  }
  return result;
}

function deleteValues(target: Members, name: string, values: unknown): void {
  const list = target[name];
  if (Array.isArray(list) && Array.isArray(values)) target[name] = list.filter((one) => !values.includes(one));
}

/** Items the patch names come in its order; the others keep their place after the one they followed. */
function reorder(target: Members, name: string, order: unknown, type: MergeType): void {
  const list = target[name];
  const { key } = ruleOf(type, name);
  if (!Array.isArray(list) || !Array.isArray(order) || key === undefined) return;
  const idOf = (item: unknown) => JSON.stringify(key !== "" && isMembers(item) ? item[key] : item);
  const rank = new Map(order.map((item, index) => [idOf(item), index]));
  const ordered = list.filter((item) => rank.has(idOf(item)));
  ordered.sort((a, b) => (rank.get(idOf(a)) ?? 0) - (rank.get(idOf(b)) ?? 0));
  let next = 0;
  target[name] = list.map((item) => (rank.has(idOf(item)) ? ordered[next++] : item));
}

function onlyKeys(members: Members, keys: unknown[]): Members {
  return Object.fromEntries(Object.entries(members).filter(([name]) => keys.includes(name)));
}

function withoutDirectives<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutDirectives) as T;
  if (!isMembers(value)) return value;
  const kept = Object.entries(value).filter(([name, member]) => !name.startsWith("$") && member !== null);
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutDirectives(member)])) as T;
}

function unknownDirective(directive: unknown) {
  return badRequest(`unknown patch type found in map: ${String(directive)}`);
}
