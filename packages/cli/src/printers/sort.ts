import { CommandError } from "../errors.ts";
import { findValues } from "../jsonpath/evaluate.ts";
import { parseRelaxed } from "../jsonpath/parse.ts";

/** Sorts by the field an expression names; those that lack it come first. Source: kubernetes/kubectl pkg/cmd/get/sorter.go */
export function sortBy<T>(items: readonly T[], expression: string, object: (item: T) => unknown): T[] {
  const path = parseRelaxed(expression);
  const keyed = items.map((item) => ({ item, key: findValues(path, object(item))[0] }));
  if (items.length > 0 && keyed.every(({ key }) => key === undefined)) {
    throw new CommandError(`couldn't find any field with path ${JSON.stringify(expression)} in the list of objects`);
  }
  return keyed.sort((a, b) => compare(a.key, b.key)).map(({ item }) => item);
}

function compare(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return natural(String(a), String(b));
}

/** Numbers within a text count as numbers: `a9` before `a10`. */
function natural(a: string, b: string): number {
  const [left, right] = [chunks(a), chunks(b)];
  for (const [index, chunk] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    const both = /^\d/.test(chunk) && /^\d/.test(other);
    const difference = both ? Number(chunk) - Number(other) : 0;
    if (difference !== 0) return difference;
    if (chunk !== other) return chunk < other ? -1 : 1;
  }
  return left.length - right.length;
}

function chunks(text: string): string[] {
  return text.match(/\d+|\D+/g) ?? [];
}
