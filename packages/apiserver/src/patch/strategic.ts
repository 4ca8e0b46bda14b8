import { isDeepStrictEqual } from "node:util";
import { badRequest } from "@hawser/api";
import { isMembers, setMember } from "./json-patch.ts";
import { memberType, mergeKeyOf } from "./merge-keys.ts";

type Members = Record<string, unknown>;

const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

/**
 * Applies a strategic merge patch to a copy of `document`, which is of `type` (`core.Pod`): as a merge patch, but lists of
 * named things are merged by name.
 * Throws StatusError 400 for a directive it does not know or an item without its key.
 *
 * Source: kubernetes/apimachinery pkg/util/strategicpatch/patch.go
 */
export function applyStrategicMergePatch(document: Members, patch: Members, type: string): Members {
  return mergeMembers(structuredClone(document), structuredClone(patch), type);
}

function mergeMembers(current: Members, patch: Members, type: string): Members {
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
        mergeValue(Object.hasOwn(result, name) ? result[name] : undefined, value, { type, name }),
      );
  }
  for (const [name, value] of Object.entries(changes)) {
    if (name.startsWith(orderPrefix)) reorder(result, name.slice(orderPrefix.length), value, type);
  }
  return result;
}

interface Member {
  type: string;
  name: string;
}

function mergeValue(current: unknown, patch: unknown, { type, name }: Member): unknown {
  const inner = memberType(type, name) ?? "";
  if (isMembers(patch)) return mergeMembers(isMembers(current) ? current : {}, patch, inner);
  if (!Array.isArray(patch)) return patch;
  const rule = mergeKeyOf(type, name);
  if (!rule) return patch.map(withoutDirectives);
  const list = Array.isArray(current) ? current : [];
  if (rule.key === "") return [...list, ...patch.filter((one) => !list.includes(one))];
  return mergeList(list, patch, { key: rule.key, type: inner });
}

function mergeList(current: unknown[], patch: unknown[], { key, type }: { key: string; type: string }): unknown[] {
  const items = patch.map((item) => {
    if (isMembers(item)) return item;
    throw badRequest(`unable to merge: a list item is no object: ${JSON.stringify(item)}`);
  });
  if (items.some(({ $patch }) => $patch === "replace")) {
    return items.filter(({ $patch }) => $patch !== "replace").map(withoutDirectives);
  }
  const result = [...current];
  for (const item of items) {
    const value = item[key];
    if (value === undefined)
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const at = result.findIndex((one) => isMembers(one) && isDeepStrictEqual(one[key], value));
    const found = result[at];
    if (item.$patch === "delete") {
      if (at >= 0) result.splice(at, 1);
    } else if (isMembers(found)) result[at] = mergeMembers(found, item, type);
    else result.push(mergeMembers({}, item, type));
  }
  return result;
}

function deleteValues(target: Members, name: string, values: unknown): void {
  const list = target[name];
  if (Array.isArray(list) && Array.isArray(values)) target[name] = list.filter((one) => !values.includes(one));
}

/** Items the patch names come in its order; the others keep their place after the one they followed. */
function reorder(target: Members, name: string, order: unknown, type: string): void {
  const list = target[name];
  const rule = mergeKeyOf(type, name);
  if (!Array.isArray(list) || !Array.isArray(order) || !rule) return;
  const { key } = rule;
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
