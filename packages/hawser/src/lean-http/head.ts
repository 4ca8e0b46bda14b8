/** What a request begins with. Headers of a later mention replace those of an earlier one. */
export interface RequestHead {
  method: string;
  path: string;
  headers: Record<string, string | readonly string[] | number>;
}

const wrongInHeader = /[^\t\x20-\x7e\x80-\xff]/;
const wrongInPath = /[^\x21-\xff]/;

/** The head of a request, to be sent as latin1. Throws, as Node does, for what could be taken for a line of its own. */
export function requestHead({ method, path, headers }: RequestHead): string {
  if (wrongInPath.test(path)) {
    const error = new TypeError("Request path contains unescaped characters");
    throw Object.assign(error, { code: "ERR_UNESCAPED_CHARACTERS" });
  }
  const lines = new Map<string, string[]>();
  for (const [name, values] of Object.entries(headers)) {
    const list = [values].flat().map((value) => `${name}: ${value}`);
    if (list.some((line) => wrongInHeader.test(line))) {
      const error = new TypeError(`Invalid character in header content ["${name}"]`);
      throw Object.assign(error, { code: "ERR_INVALID_CHAR" });
    }
    lines.set(name.toLowerCase(), list);
  }
  if (method !== "GET" && !lines.has("content-length")) lines.set("content-length", ["Content-Length: 0"]);
  return `${[`${method} ${path} HTTP/1.1`, ...[...lines.values()].flat()].join("\r\n")}\r\n\r\n`;
}
