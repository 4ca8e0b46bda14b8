export type JSONValue = string | number | boolean | null | JSONValue[] | { [name: string]: JSONValue };

/** Times: that there is one counts, not which. */
const times = new Set(["createdAt", "startedAt", "finishedAt", "timestamp"]);

/**
 * An answer in which only what two runtimes should have in common is left: known ids and paths by their names, times and
 * addresses by their kind, lists of objects in an order of their own.
 */
export function plain(value: unknown, names: ReadonlyMap<string, string>): JSONValue {
  if (Array.isArray(value)) {
    const items = value.map((item) => plain(item, names));
    const isOfObjects = items.some((item) => typeof item === "object");
    return isOfObjects ? items.toSorted((a, b) => compare(JSON.stringify(a), JSON.stringify(b))) : items;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([name, member]): [string, JSONValue] => [
      plainText(name, names),
      times.has(name) && member !== "0" ? "a time" : plain(member, names),
    ]);
    return Object.fromEntries(entries.toSorted(([a], [b]) => compare(a, b)));
  }
  if (typeof value === "string") return plainText(value, names);
  if (typeof value === "number" || typeof value === "boolean") return value;
  return null;
}

function plainText(text: string, names: ReadonlyMap<string, string>): string {
  let result = text;
  for (const [from, to] of names) result = result.replaceAll(from, `<${to}>`);
  return result
    .replaceAll(/\b10\.\d+\.\d+\.\d+\b/g, "<address>")
    .replaceAll(/^http:\/\/127\.0\.0\.1:\d+\/(\w+)\/[\w-]+$/g, "<url of $1>");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
