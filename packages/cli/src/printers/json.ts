/**
 * JSON as Go's encoding/json writes a map: keys sorted, `<`, `>`, `&` escaped. `indent` spaces per level; 0 for one line.
 */
export function goJSON(value: unknown, indent = 0): string {
  return write(value, indent > 0 ? " ".repeat(indent) : "", "\n");
}

function write(value: unknown, step: string, newline: string): string {
  if (value === undefined || value === null) return "null";
  if (typeof value === "string") return quoted(value);
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = newline + step;
  const [open, close, parts] = Array.isArray(value)
    ? ["[", "]", value.map((item) => write(item, step, inner))]
    : ["{", "}", members(value, step, inner)];
  if (parts.length === 0) return open + close;
  return step ? open + inner + parts.join(`,${inner}`) + newline + close : open + parts.join(",") + close;
}

function members(value: object, step: string, inner: string): string[] {
  return sortedEntries(value).map(([key, item]) => `${quoted(key)}:${step ? " " : ""}${write(item, step, inner)}`);
}

/** A map's members by name, those that are undefined left out. */
export function sortedEntries(value: object): [string, unknown][] {
  return Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function quoted(text: string): string {
  return JSON.stringify(text).replace(/[<>&\u2028\u2029\u007f-\u009f]/g, (character) => {
    const code = character.charCodeAt(0);
    return code >= 0x7f && code <= 0x9f ? character : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
