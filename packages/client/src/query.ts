export type Query = Record<string, string | number | boolean | readonly string[] | undefined> | URLSearchParams;

/** `a=1&b=x&b=y`; undefined and false members are left out. */
export function queryString(query: Query | undefined): string {
  if (!query) return "";
  if (query instanceof URLSearchParams) return query.toString();
  const result = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "object") for (const each of value) result.append(key, each);
    else result.append(key, String(value));
  }
  return result.toString();
}
