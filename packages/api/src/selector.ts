import { isLabelValue, isQualifiedName } from "./name.ts";
import { badRequest } from "./status.ts";

export interface LabelRequirement {
  key: string;
  op: "=" | "!=" | "in" | "notin" | "exists" | "!" | ">" | "<";
  values: string[];
}
/** Every requirement must hold. An empty selector matches everything. */
export type LabelSelector = LabelRequirement[];

export interface FieldRequirement {
  field: string;
  op: "=" | "!=";
  value: string;
}

/**
 * Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
 * Throws StatusError 400 where the real server does.
 *
 * Source: kubernetes/apimachinery pkg/labels/selector.go
 */
export function parseLabelSelector(text: string): LabelSelector {
  const tokens = text.match(/==|!=|[=!(),<>]|[^\s=!(),<>]+/g) ?? [];
  const selector: LabelSelector = [];
  let at = 0;
  const fail = (expected: string) =>
    badRequest(`unable to parse requirement: found '${tokens[at] ?? ""}', expected: ${expected}`);
  const take = () => tokens[at++] ?? "";
  const word = (expected: string) => {
    if (!isWord(tokens[at])) throw fail(expected);
    return take();
  };
  while (at < tokens.length) {
    selector.push(requirement());
    if (at >= tokens.length) break;
    if (tokens[at] !== ",") throw fail("',' or 'end of string'");
    at++;
    if (at >= tokens.length) throw fail("identifier after ','");
  }
  return selector;

  function requirement(): LabelRequirement {
    if (tokens[at] === "!") {
      at++;
      return checked({ key: word("identifier"), op: "!", values: [] });
    }
    const key = word("!, identifier, or 'end of string'");
    const operator = tokens[at];
    if (operator === undefined || operator === ",") return checked({ key, op: "exists", values: [] });
    at++;
    if (operator === "in" || operator === "notin") return checked({ key, op: operator, values: list() });
    const op = operators[operator];
    if (!op) {
      at--;
      throw fail("in, notin, =, ==, !=, gt, lt");
    }
    return checked({ key, op, values: [isWord(tokens[at]) ? take() : ""] });
  }

  function list(): string[] {
    if (take() !== "(") throw fail("'('");
    const values: string[] = [];
    for (;;) {
      values.push(isWord(tokens[at]) ? take() : "");
      const next = take();
      if (next === ")") return values;
      if (next !== ",") throw fail("',', or ')'");
    }
  }
}

const operators: Record<string, LabelRequirement["op"]> = { "=": "=", "==": "=", "!=": "!=", ">": ">", "<": "<" };

function isWord(token: string | undefined): token is string {
  return token !== undefined && !/^(==|!=|[=!(),<>])$/.test(token);
}

function checked(requirement: LabelRequirement): LabelRequirement {
  const { key, op, values } = requirement;
  if (!isQualifiedName(key)) throw badRequest(`unable to parse requirement: key: Invalid value: "${key}"`);
  for (const value of values) {
    if (!isLabelValue(value))
      throw badRequest(`unable to parse requirement: values[0][${key}]: Invalid value: "${value}"`);
    if ((op === ">" || op === "<") && !/^-?\d+$/.test(value)) {
      throw badRequest(
        `unable to parse requirement: values[0]: Invalid value: "${value}": for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
  }
  return requirement;
}

export function matchesLabels(selector: LabelSelector, labels: Record<string, string> = {}): boolean {
  return selector.every(({ key, op, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (op) {
      case "exists":
        return value !== undefined;
      case "!":
        return value === undefined;
      case "=":
      case "in":
        return value !== undefined && values.includes(value);
      case "!=":
      case "notin":
        return value === undefined || !values.includes(value);
      case ">":
        return isInteger(value) && BigInt(value) > BigInt(values[0] ?? 0);
      case "<":
        return isInteger(value) && BigInt(value) < BigInt(values[0] ?? 0);
    }
    return false;
  });
}

function isInteger(value: string | undefined): value is string {
  return value !== undefined && /^[+-]?\d+$/.test(value);
}

/**
 * Reads `a.b=c,d!=e,f==g`; `\,` `\=` and `\\` stand for themselves in a value.
 * Throws StatusError 400.
 *
 * Source: kubernetes/apimachinery pkg/fields/selector.go
 */
export function parseFieldSelector(text: string): FieldRequirement[] {
  const terms = text.match(/(?:\\.|[^\\,])+/g) ?? [];
  return terms.map((term) => {
    const match = /^((?:\\.|[^\\=!])*)(!=|==|=)(.*)$/s.exec(term);
    if (!match) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = "", operator, value = ""] = match;
    return { field: field.trim(), op: operator === "!=" ? "!=" : "=", value: unescaped(value, text) };
  });
}

function unescaped(value: string, selector: string): string {
  return value.replace(/\\(.)?|=/gs, (part, escaped: string | undefined) => {
    if (escaped === undefined || !/[\\,=]/.test(escaped)) {
      throw badRequest(`invalid field selector: invalid value: ${JSON.stringify(part)} in '${selector}'`);
    }
    return escaped;
  });
}

/** `fields` holds the value of each selectable field; one that is not there matches as empty. */
export function matchesFields(selector: FieldRequirement[], fields: Record<string, string>): boolean {
  return selector.every(({ field, op, value }) => ((fields[field] ?? "") === value) === (op === "="));
}
