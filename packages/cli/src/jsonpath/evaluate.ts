import { goJSON } from "../printers/json.ts";
import { JSONPathError, type Node, type Step } from "./parse.ts";

/** Values one expression may come to. */
const maxValues = 1_000_000;

export interface EvaluateOptions {
  /** A field that is not there is an error. Default: it is nothing. */
  strict?: boolean;
}

/** What a template prints of `data`. Throws JSONPathError. Source: kubernetes/client-go util/jsonpath/jsonpath.go */
export function printTemplate(nodes: readonly Node[], data: unknown, options: EvaluateOptions = {}): string {
  let text = "";
  for (const node of nodes) {
    if (node.type === "text") text += node.text;
    else if (node.type === "print") text += findValues(node.path, data, options).map(valueText).join(" ");
    else for (const item of findValues(node.path, data, options)) text += printTemplate(node.body, item, options);
  }
  return text;
}

/** All values a template's expressions come to, for `-o jsonpath-as-json`. */
export function templateValues(nodes: readonly Node[], data: unknown, options: EvaluateOptions = {}): unknown[][] {
  return nodes.flatMap((node) => {
    if (node.type === "text") return [[node.text]];
    const values = findValues(node.path, data, options);
    return node.type === "print" ? [values] : values.flatMap((item) => templateValues(node.body, item, options));
  });
}

export function findValues(path: readonly Step[], data: unknown, options: EvaluateOptions = {}): unknown[] {
  let values: unknown[] = [data];
  for (const step of path) {
    values = take(step, values, options);
    if (values.length > maxValues) throw new JSONPathError(`more than ${maxValues} values`);
  }
  return values;
}

/** A value as kubectl prints it: maps and lists as JSON. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "object" ? goJSON(value) : String(value);
}

function take(step: Step, values: unknown[], options: EvaluateOptions): unknown[] {
  switch (step.type) {
    case "literal":
      return typeof step.value === "string" ? [step.value] : values.map(() => step.value);
    case "field": {
      const found = values.flatMap((value) =>
        isMap(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [],
      );
      if (found.length === 0 && values.length > 0 && options.strict)
        throw new JSONPathError(`${step.name} is not found`);
      return found;
    }
    case "wildcard":
      return values.flatMap(children);
    case "recursive":
      return values.flatMap(descend);
    case "union":
      return step.paths.flatMap((path) => values.flatMap((value) => findValues(path, value, options)));
    case "slice":
      return values.flatMap((value) => slice(step, value));
    case "filter":
      return values.flatMap((value) => filter(step, value, options));
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function children(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (!isMap(value)) return [];
  return Object.keys(value)
    .sort()
    .map((key) => value[key]);
}

/** The value itself and all that have members below it. */
function descend(value: unknown): unknown[] {
  const below = children(value);
  return below.length > 0 ? [value, ...below.flatMap(descend)] : [];
}

function slice({ from, to, step = 1, single }: Extract<Step, { type: "slice" }>, value: unknown): unknown[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value))
    throw new JSONPathError(`${isMap(value) ? "map[string]interface {}" : typeof value} is not array or slice`);
  const { length } = value;
  const start = from === undefined ? 0 : from < 0 ? from + length : from;
  const end = single ? start + 1 : to === undefined ? length : to < 0 ? to + length : to;
  if (start === end) return [];
  if (start >= length || start < 0)
    throw new JSONPathError(`array index out of bounds: index ${start}, length ${length}`);
  if (end > length || end < 0) throw new JSONPathError(`array index out of bounds: index ${end - 1}, length ${length}`);
  if (start > end) throw new JSONPathError(`starting index ${start} is greater than ending index ${end}`);
  if (step <= 0) throw new JSONPathError("step must be > 0");
  return value.slice(start, end).filter((_, index) => index % step === 0);
}

function filter(
  { left, operator, right }: Extract<Step, { type: "filter" }>,
  value: unknown,
  options: EvaluateOptions,
): unknown[] {
  if (!Array.isArray(value))
    throw new JSONPathError(`${valueText(value)} is not array or slice and cannot be filtered`);
  return value.filter((item) => {
    // Whether it exists is the question here, so that a missing field is an answer even when it is an error elsewhere.
    if (operator === "exists") return findValues(left, item).length > 0;
    const [a, b] = [findValues(left, item, options), findValues(right, item, options)];
    if (a.length === 0 || b.length === 0) return false;
    if (a.length > 1 || b.length > 1) throw new JSONPathError("can only compare one element at a time");
    return compare(operator, a[0], b[0]);
  });
}

function compare(operator: string, a: unknown, b: unknown): boolean {
  if (a !== null && b !== null && typeof a !== typeof b) throw new JSONPathError("incompatible types for comparison");
  switch (operator) {
    case "==":
      return a === b;
    case "!=":
      return a !== b;
  }
  if (typeof a !== "number" && typeof a !== "string") throw new JSONPathError("invalid type for comparison");
  const less = a < (b as typeof a); // of the same type, as was checked above
  if (operator === "<") return less;
  if (operator === ">=") return !less;
  return operator === "<=" ? less || a === b : !less && a !== b;
}
