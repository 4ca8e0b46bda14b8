import { type LabelRequirement, matchesLabels as meets } from "@hawser/api";

/** A selector as it stands in an object, with `matchLabels` and `matchExpressions`. */
export interface ObjectLabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

const operators: Record<string, LabelRequirement["op"]> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
  Gt: ">",
  Lt: "<",
};

/** Whether labels meet every requirement of a selector; an empty one matches all. An operator we do not know matches nothing. */
export function matchesLabels(selector: ObjectLabelSelector, labels: Record<string, string>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((expression) => matchesExpression(expression, labels))
  );
}

/** One requirement; also of node affinity, which knows Gt and Lt besides. */
export function matchesExpression(
  { key, operator, values = [] }: { key: string; operator: string; values?: string[] },
  labels: Record<string, string>,
): boolean {
  const op = Object.hasOwn(operators, operator) ? operators[operator] : undefined;
  if (!op) return false;
  // Unlike a selector's text, an object's numbers have not been checked.
  if ((op === ">" || op === "<") && !/^[+-]?\d+$/.test(values[0] ?? "")) return false;
  return meets([{ key, op, values }], labels);
}
