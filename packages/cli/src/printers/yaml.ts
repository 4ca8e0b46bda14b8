import { sortedEntries } from "./json.ts";

/** JSON data as YAML, the way sigs.k8s.io/yaml writes it: keys sorted, lists not indented, no line folded. */
export function toYAML(value: unknown): string {
  if (isEmptyOrScalar(value)) return `${scalar(value, 0)}\n`;
  return `${block(value as object, 0).join("\n")}\n`;
}

function block(value: object, depth: number): string[] {
  return Array.isArray(value) ? sequence(value, depth) : mapping(value, depth);
}

function mapping(value: object, depth: number): string[] {
  const pad = "  ".repeat(depth);
  return sortedEntries(value).flatMap(([key, item]) => {
    const name = pad + scalar(key, depth, true);
    if (isEmptyOrScalar(item)) return [`${name}: ${scalar(item, depth + 1)}`];
    // A list stands at its key's own depth.
    return [`${name}:`, ...block(item as object, Array.isArray(item) ? depth : depth + 1)];
  });
}

function sequence(items: unknown[], depth: number): string[] {
  const pad = "  ".repeat(depth);
  return items.flatMap((item) => {
    if (isEmptyOrScalar(item)) return [`${pad}- ${scalar(item, depth + 1)}`];
    const [first = "", ...rest] = block(item as object, depth + 1);
    return [`${pad}- ${first.slice(pad.length + 2)}`, ...rest];
  });
}

function isEmptyOrScalar(value: unknown): boolean {
  if (value === null || typeof value !== "object") return true;
  return Array.isArray(value) ? value.length === 0 : sortedEntries(value).length === 0;
}

function scalar(value: unknown, depth: number, key = false): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object") return "{}";
  if (typeof value !== "string") return JSON.stringify(value);
  if (value.includes("\n") && !key && canBeLiteral(value)) return literal(value, depth);
  if (/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ufeff\n\t]/.test(value)) return doubleQuoted(value);
  if (isReserved(value)) return doubleQuoted(value);
  return isPlain(value) ? value : `'${value.replaceAll("'", "''")}'`;
}

/** What YAML 1.1 would read as something else than a string. Source: go-yaml resolve.go */
function isReserved(value: string): boolean {
  return (
    value === "" ||
    /^(?:~|null|Null|NULL|true|True|TRUE|false|False|FALSE|y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|<<)$/.test(
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
  if (/^[-?:](?:\s|$)|^[,[\]{}#&*!|>'"%@`]|^---|^\.\.\./.test(value)) return false;
  if (/^\s|\s$/.test(value)) return false;
  return !/: |:$| #/.test(value);
}

function canBeLiteral(value: string): boolean {
  // A first line that is empty or indented would need an indentation mark; go-yaml quotes where a line ends in a blank.
  return (
    !/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ufeff]/.test(value) &&
    !/^\s/.test(value) &&
    !/ (\n|$)/.test(value)
  );
}

function literal(value: string, depth: number): string {
  const pad = "  ".repeat(depth);
  const chomp = value.endsWith("\n\n") ? "+" : value.endsWith("\n") ? "" : "-";
  const body = value.endsWith("\n") ? value.slice(0, -1) : value;
  return `|${chomp}\n${body
    .split("\n")
    .map((line) => (line ? pad + line : ""))
    .join("\n")}`;
}

const escapes: Record<string, string> = {
  "\n": "\\n",
  "\t": "\\t",
  "\r": "\\r",
  "\u001b": "\\e",
  "\u0000": "\\0",
  "\u0007": "\\a",
  "\b": "\\b",
  '"': '\\"',
  "\\": "\\\\",
};

function doubleQuoted(value: string): string {
  const text = value.replace(/[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029\ufeff]/g, (character) => {
    const known = escapes[character];
    if (known) return known;
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`
      : `\\u${code.toString(16).toUpperCase().padStart(4, "0")}`;
  });
  return `"${text}"`;
}
