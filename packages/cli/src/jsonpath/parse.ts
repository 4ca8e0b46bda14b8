/** A template of kubectl's that cannot be understood. */
export class JSONPathError extends Error {
  override readonly name = "JSONPathError";
}

/** One step from a set of values to the next. */
export type Step =
  | { type: "field"; name: string }
  | { type: "wildcard" }
  | { type: "recursive" }
  | { type: "slice"; from?: number; to?: number; step?: number; single: boolean }
  | { type: "union"; paths: Step[][] }
  | { type: "filter"; left: Step[]; operator: string; right: Step[] }
  | { type: "literal"; value: string | number | boolean };

/** A template: text, expressions to print, and ranges whose body is printed for each value. */
export type Node =
  | { type: "text"; text: string }
  | { type: "print"; path: Step[] }
  | { type: "range"; path: Step[]; body: Node[] };

/** Nested ranges, and expressions within filters within expressions. */
const maxDepth = 32;

/**
 * Reads kubectl's JSONPath: `{.status.phase}`, `{.items[*].metadata.name}`, `{range .items[*]}…{"\n"}{end}`,
 * `[?(@.type=="Ready")]`, `[0:2]`, `['a','b']`, `..`, escaped dots. Throws JSONPathError.
 *
 * Source: kubernetes/client-go util/jsonpath/parser.go
 */
export function parseTemplate(template: string): Node[] {
  const root: Node[] = [];
  const open: Node[][] = [root];
  let rest = template;
  while (rest !== "") {
    const current = open.at(-1) ?? root;
    const start = rest.indexOf("{");
    if (start !== 0) {
      current.push({ type: "text", text: start < 0 ? rest : rest.slice(0, start) });
      rest = start < 0 ? "" : rest.slice(start);
      continue;
    }
    const end = closingBrace(rest);
    const action = rest.slice(1, end).trim();
    rest = rest.slice(end + 1);
    const [, keyword] = /^(range|end)(?![\w-])/.exec(action) ?? [];
    if (keyword === "range") {
      if (open.length > maxDepth) throw new JSONPathError("too many ranges within each other");
      const body: Node[] = [];
      current.push({ type: "range", path: parsePath(action.slice("range".length)), body });
      open.push(body);
    } else if (keyword === "end") {
      if (open.length === 1) throw new JSONPathError("not in range, nothing to end");
      open.pop();
    } else current.push({ type: "print", path: parsePath(action) });
  }
  return root; // a range left open ends with the template, as it does in kubectl
}

/** What `--sort-by` and custom columns take: braces and the first dot may be missing. */
export function parseRelaxed(expression: string): Step[] {
  const match = /^\{\.?([^{}]+)\}$|^\.?([^{}]+)$/.exec(expression);
  const path = match?.[1] ?? match?.[2];
  if (path === undefined) {
    throw new JSONPathError(
      "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'",
    );
  }
  return parsePath(`.${path}`);
}

function closingBrace(text: string): number {
  let quote = "";
  for (let i = 1; i < text.length; i++) {
    const character = text[i] ?? "";
    if (character === "\\") i++;
    else if (quote) quote = character === quote ? "" : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (character === "}") return i;
  }
  throw new JSONPathError("unclosed action");
}

/** A path without its braces. */
export function parsePath(text: string, depth = 0): Step[] {
  if (depth > maxDepth) throw new JSONPathError("expressions too deep within each other");
  const steps: Step[] = [];
  let rest = text;
  const take = (length: number) => {
    rest = rest.slice(length);
  };
  while (rest !== "") {
    const [first = ""] = rest;
    if (first === " " || first === "@" || first === "$") take(1);
    else if (rest.startsWith("..")) {
      if (steps.at(-1)?.type === "recursive") throw new JSONPathError("invalid multiple recursive descent");
      steps.push({ type: "recursive" });
      // What follows is a field with or without a further dot.
      take(/^\.\.[\w*]/.test(rest) ? 1 : 2);
    } else if (first === ".") {
      const name = /^\.((?:\\.|[^\s.,[\]${}@\\])*)/s.exec(rest)?.[1] ?? "";
      take(1 + name.length);
      if (name === "*") steps.push({ type: "wildcard" });
      else if (name !== "") steps.push({ type: "field", name: name.replaceAll("\\", "") });
    } else if (rest.startsWith("[?(")) {
      const { inside, length } = filterText(rest);
      steps.push(filterStep(inside, depth));
      take(length);
    } else if (first === "[") {
      const inside = bracketText(rest);
      steps.push(...bracketSteps(inside, depth));
      take(inside.length + 2);
    } else if (first === '"' || first === "'") {
      const quoted = quotedText(rest);
      steps.push({ type: "literal", value: unquote(quoted) });
      take(quoted.length);
    } else {
      const word = /^[+-]?[\w.]+/.exec(rest)?.[0];
      if (word === undefined) throw new JSONPathError(`unrecognized character in action: ${JSON.stringify(first)}`);
      steps.push({ type: "literal", value: wordValue(word) });
      take(word.length);
    }
  }
  return steps;
}

function wordValue(word: string): number | boolean {
  if (word === "true") return true;
  if (word === "false") return false;
  if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(word)) return Number(word);
  if (/^[+-]?[\d.]/.test(word)) throw new JSONPathError(`cannot parse number ${word}`);
  throw new JSONPathError(`unrecognized identifier ${word}`);
}

function quotedText(text: string): string {
  const quote = text[0];
  for (let i = 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === quote) return text.slice(0, i + 1);
  }
  throw new JSONPathError("unterminated quoted string");
}

const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\u0007", b: "\b", f: "\f", v: "\v" };

function unquote(quoted: string): string {
  return quoted.slice(1, -1).replace(/\\(u[\da-fA-F]{4}|x[\da-fA-F]{2}|.)/gs, (_, code: string) => {
    if (code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return escapes[code] ?? code;
  });
}

function bracketText(text: string): string {
  let quote = "";
  for (let i = 1; i < text.length; i++) {
    const character = text[i] ?? "";
    if (quote) quote = character === quote ? "" : quote;
    else if (character === "'" || character === '"') quote = character;
    else if (character === "]") return text.slice(1, i);
  }
  throw new JSONPathError("unterminated array");
}

function bracketSteps(inside: string, depth: number): Step[] {
  const parts = inside.split(/,(?=(?:[^']*'[^']*')*[^']*$)/);
  if (parts.length > 1) {
    return [{ type: "union", paths: parts.map((part) => bracketSteps(part.trim(), depth + 1)) }];
  }
  if (inside === "*") return [{ type: "slice", single: false }];
  const key = /^(['"])(.*)\1$/s.exec(inside);
  if (key) return [{ type: "field", name: (key[2] ?? "").replaceAll("\\", "") }];
  const slice = /^(-?\d*)(:-?\d*)?(:-?\d*)?$/.exec(inside);
  if (!slice || inside === "") throw new JSONPathError(`invalid array index ${inside}`);
  const [, from = "", to, step] = slice;
  if (to === undefined) return [{ type: "slice", from: Number(from), single: true }];
  return [
    {
      type: "slice",
      single: false,
      ...(from !== "" && { from: Number(from) }),
      ...(to.length > 1 && { to: Number(to.slice(1)) }),
      ...(step !== undefined && step.length > 1 && { step: Number(step.slice(1)) }),
    },
  ];
}

function filterText(text: string): { inside: string; length: number } {
  let quote = "";
  for (let i = 3; i < text.length; i++) {
    const character = text[i] ?? "";
    if (character === "\\") i++;
    else if (quote) quote = character === quote ? "" : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (character === ")") {
      if (text[i + 1] !== "]") throw new JSONPathError("unclosed array expect ]");
      return { inside: text.slice(3, i), length: i + 2 };
    }
  }
  throw new JSONPathError("unterminated filter");
}

function filterStep(inside: string, depth: number): Step {
  const [, left, operator, right] = /^([^!<>=]+)([!<>=]+)(.+)$/s.exec(inside) ?? [];
  if (left === undefined || operator === undefined || right === undefined) {
    return { type: "filter", left: parsePath(inside, depth + 1), operator: "exists", right: [] };
  }
  if (!["==", "!=", "<", ">", "<=", ">="].includes(operator)) {
    throw new JSONPathError(`unrecognized filter operator ${operator}`);
  }
  return { type: "filter", left: parsePath(left, depth + 1), operator, right: parsePath(right, depth + 1) };
}
