import { isDeepStrictEqual } from "node:util";
import type { JSONValue } from "./plain.ts";
import type { Outcome } from "./subject.ts";

/** One field of one step's answer that is not the same. */
export interface Difference {
  step: string;
  /** Such as `status.user`; empty for the code. */
  path: string;
  ours: JSONValue | undefined;
  theirs: JSONValue | undefined;
}

/** A difference that is meant. A text with a `*` at its end stands for all that begin so, at its beginning for all that end so. */
export interface Accepted {
  /** Only over this OCI runtime. */
  ociRuntime?: string;
  step: string;
  path: string;
  ours?: JSONValue | undefined;
  theirs?: JSONValue | undefined;
  why: string;
}

/** What of two records differs, field by field, in the steps' order. */
export function differences(ours: Map<string, Outcome>, theirs: Map<string, Outcome>): Difference[] {
  const steps = [...new Set([...ours.keys(), ...theirs.keys()])];
  return steps.flatMap((step) => {
    const [a, b] = [ours.get(step), theirs.get(step)];
    if (a?.code !== b?.code) return [{ step, path: "code", ours: a?.code, theirs: b?.code }];
    return [...inside(a?.answer, b?.answer, "")].map((difference) => ({ step, ...difference }));
  });
}

function* inside(
  ours: JSONValue | undefined,
  theirs: JSONValue | undefined,
  path: string,
): Generator<Omit<Difference, "step">> {
  if (isDeepStrictEqual(ours, theirs)) return;
  if (!isObject(ours) || !isObject(theirs)) {
    yield { path, ours, theirs };
    return;
  }
  for (const name of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    yield* inside(ours[name], theirs[name], path ? `${path}.${name}` : name);
  }
}

function isObject(value: JSONValue | undefined): value is { [name: string]: JSONValue } {
  return (
    typeof value === "object" && value !== null && !(Array.isArray(value) && value.some((item) => !isObject(item)))
  );
}

export function isAccepted(difference: Difference, accepted: Accepted): boolean {
  return (
    matches(accepted.step, difference.step) &&
    matches(accepted.path, difference.path) &&
    ("ours" in accepted ? isDeepStrictEqual(accepted.ours, difference.ours) : true) &&
    ("theirs" in accepted ? isDeepStrictEqual(accepted.theirs, difference.theirs) : true)
  );
}

function matches(pattern: string, text: string): boolean {
  if (pattern.startsWith("*")) return text.endsWith(pattern.slice(1));
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : pattern === text;
}
