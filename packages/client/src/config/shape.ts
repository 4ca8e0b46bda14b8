/** What a member may be. `null` is as good as its absence. */
export type Kind = "text" | "base64" | "toggle" | "texts" | "list" | "map of texts";

/** What the members of an object may be; those it does not name may be anything. */
export type Shape<T extends object> = { readonly [Key in keyof T]?: Kind | Shape<object> };

const kinds: Record<Kind, { words: string; test(value: unknown): boolean }> = {
  text: { words: "a string", test: (value) => typeof value === "string" },
  base64: {
    words: "base64",
    test: (value) => typeof value === "string" && /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value),
  },
  toggle: { words: "true or false", test: (value) => typeof value === "boolean" },
  texts: { words: "a list of strings", test: isTexts },
  list: { words: "a list", test: Array.isArray },
  "map of texts": {
    words: "a map of lists of strings",
    test: (value) => isMap(value) && Object.values(value).every(isTexts),
  },
};

/** What is wrong with the first member that is not of its kind, in words without its value, which may be a secret. */
export function checkMembers(value: object, shape: Shape<object>): string | undefined {
  const members = new Map(Object.entries(value));
  for (const [key, kind] of Object.entries(shape) as [string, Kind | Shape<object>][]) {
    const member = members.get(key);
    if (member === undefined || member === null) continue;
    if (typeof kind === "string") {
      if (!kinds[kind].test(member)) return `${key} is not ${kinds[kind].words}`;
      continue;
    }
    if (!isMap(member)) return `${key} is not a mapping`;
    const inner = checkMembers(member, kind);
    if (inner) return `${key}.${inner}`;
  }
  return undefined;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
