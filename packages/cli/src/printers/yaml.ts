import { sortedEntries } from "./json.ts";

/** Column beyond which a line is folded at its next space. */
const foldAfter = 80;

/**
 * JSON data as YAML, the way sigs.k8s.io/yaml writes it: keys sorted with their numbers as numbers, lists at their key's
 * depth, long lines folded. What a terminal would obey is escaped.
 */
export function toYAML(value: unknown): string {
  if (isEmptyOrScalar(value)) return `${scalar(value, { depth: 1, column: 0 })}\n`;
  return `${block(value as object, 0).join("\n")}\n`;
}

function block(value: object, depth: number): string[] {
  return Array.isArray(value) ? sequence(value, depth) : mapping(value, depth);
}

function mapping(value: object, depth: number): string[] {
  const pad = "  ".repeat(depth);
  const entries = sortedEntries(value).sort(([a], [b]) => compareKeys(a, b));
  return entries.flatMap(([key, item]) => {
    const name = pad + scalar(key, { depth, column: 0, key: true });
    if (isEmptyOrScalar(item)) return [`${name}: ${scalar(item, { depth: depth + 1, column: width(name) + 2 })}`];
    return [`${name}:`, ...block(item as object, Array.isArray(item) ? depth : depth + 1)];
  });
}

function sequence(items: unknown[], depth: number): string[] {
  const pad = "  ".repeat(depth);
  return items.flatMap((item) => {
    if (isEmptyOrScalar(item)) return [`${pad}- ${scalar(item, { depth: depth + 1, column: pad.length + 2 })}`];
    const [first = "", ...rest] = block(item as object, depth + 1);
    return [`${pad}- ${first.slice(pad.length + 2)}`, ...rest];
  });
}

function isEmptyOrScalar(value: unknown): boolean {
  if (value === null || typeof value !== "object") return true;
  return Array.isArray(value) ? value.length === 0 : sortedEntries(value).length === 0;
}

/** Where a scalar begins, and how deep its further lines stand. */
interface Place {
  depth: number;
  column: number;
  key?: boolean;
}

function scalar(value: unknown, place: Place): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object") return "{}";
  if (typeof value !== "string") return JSON.stringify(value);
  if (value.includes("\n") && !place.key && canBeLiteral(value)) return literal(value, place.depth);
  if (value.includes("\n") || special.test(value) || isReserved(value)) return doubleQuoted(value, place);
  if (isPlain(value)) return fold(value, place, { quote: "" });
  return `'${fold(value.replaceAll("'", "''"), { ...place, column: place.column + 1 }, { quote: "'" })}'`;
}

/** What can only stand in double quotes. go-yaml lets C1 control characters through. */
const special = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\ufeff\ud800-\udfff]/;

/** What YAML 1.1 would read as something else than a string. Source: go-yaml resolve.go */
function isReserved(value: string): boolean {
  return (
    value === "" ||
    /^(?:~|null|Null|NULL|true|True|TRUE|false|False|FALSE|y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)$/.test(
      value,
    ) ||
    /^[-+]?(?:0|[1-9][\d_]*|0b[01_]+|0o?[0-7_]+|0x[\da-fA-F_]+)$/.test(value) ||
    /^[-+]?(?:\.\d[\d_]*|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?\d+)?$/.test(value) ||
    /^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$/.test(value) ||
    /^[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/.test(value) ||
    /^\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]|[ \t]+)\d{1,2}:\d{2}:\d{2}(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d{1,2}(?::?\d{2})?))?)?$/.test(
      value,
    )
  );
}

function isPlain(value: string): boolean {
  if (/^[-?:](?: |$)|^[,[\]{}#&*!|>'"%@`]|^---|^\.\.\./.test(value)) return false;
  if (/^ | $/.test(value)) return false;
  return !/: |:$| #/.test(value);
}

function canBeLiteral(value: string): boolean {
  return !special.test(value) && !/ (\n|$)/.test(value);
}

function literal(value: string, depth: number): string {
  const pad = "  ".repeat(depth);
  // Where the first line is empty or indented, the depth must be said.
  const hint = /^[ \n]/.test(value) ? "2" : "";
  const chomp = value.endsWith("\n\n") || value === "\n" ? "+" : value.endsWith("\n") ? "" : "-";
  const body = value.endsWith("\n") ? value.slice(0, -1) : value;
  return `|${hint}${chomp}\n${body
    .split("\n")
    .map((line) => (line ? pad + line : ""))
    .join("\n")}`;
}

/** Breaks a line at a single space beyond the width. Source: go-yaml emitterc.go */
function fold(text: string, { depth, column, key = false }: Place, { quote }: { quote: "" | "'" | '"' }): string {
  if (key || column + text.length <= foldAfter) return text;
  const characters = [...text];
  const inner = (index: number) => quote === "" || (index > 0 && index < characters.length - 1);
  let at = column;
  let result = "";
  for (const [index, character] of characters.entries()) {
    const next = characters[index + 1];
    const alone = characters[index - 1] !== " " && (next !== " " || quote === '"');
    if (character === " " && alone && at > foldAfter && inner(index)) {
      result += `\n${"  ".repeat(depth)}${next === " " ? "\\" : ""}`;
      at = depth * 2;
    } else {
      result += character;
      at++;
    }
  }
  return result;
}

const escapes: Record<string, string> = {
  "\n": "\\n",
  "\t": "\\t",
  "\r": "\\r",
  "\u001b": "\\e",
  "\u0000": "\\0",
  "\u0007": "\\a",
  "\b": "\\b",
  "\u000b": "\\v",
  "\f": "\\f",
  '"': '\\"',
  "\\": "\\\\",
  "\u2028": "\\L",
  "\u2029": "\\P",
};

function doubleQuoted(value: string, place: Place): string {
  const text = value.replace(
    /[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029\ufeff]|[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g,
    (character) => {
      const code = character.codePointAt(0) ?? 0;
      const hex = code.toString(16).toUpperCase();
      const known = escapes[character];
      if (known) return known;
      if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
      return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
    },
  );
  return `"${fold(text, { ...place, column: place.column + 1 }, { quote: '"' })}"`;
}

/** Characters, not UTF-16 units. */
function width(text: string): number {
  return [...text].length;
}

/** Numbers within a key count as numbers, and letters come after what is none. Source: go-yaml sorter.go */
function compareKeys(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  const isDigit = (character: string | undefined) => character !== undefined && /^\p{Nd}$/u.test(character);
  let digits = false;
  for (const [index, x] of left.entries()) {
    const y = right[index];
    if (y === undefined) break;
    if (x === y) {
      digits = isDigit(x);
      continue;
    }
    const [xIsLetter, yIsLetter] = [/^\p{L}$/u.test(x), /^\p{L}$/u.test(y)];
    if (xIsLetter && yIsLetter) return x < y ? -1 : 1;
    if (xIsLetter || yIsLetter) return xIsLetter === digits ? -1 : 1;
    const [m, n] = [numberAt(left, index), numberAt(right, index)];
    if (m.value !== n.value) return m.value - n.value;
    if (m.length !== n.length) return m.length - n.length;
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}

function numberAt(characters: string[], index: number): { value: number; length: number } {
  const text = /^\d*/.exec(characters.slice(index).join(""))?.[0] ?? "";
  // Zeros behind other digits must not be lost: 10 and 1.
  const within = index > 0 && /[1-9]\d*$/.test(characters.slice(0, index).join(""));
  return { value: Number((within ? "1" : "") + text) || 0, length: text.length };
}
