import { isMembers, setMember } from "./json-patch.ts";

/** Applies a JSON merge patch (RFC 7396) to a copy of `document`. */
export function applyMergePatch(document: unknown, patch: unknown): unknown {
  if (!isMembers(patch)) return structuredClone(patch);
  const result: Record<string, unknown> = isMembers(document) ? { ...document } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else setMember(result, name, applyMergePatch(Object.hasOwn(result, name) ? result[name] : undefined, value));
  }
  return result;
}
