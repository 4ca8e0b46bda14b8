import type { Request } from "../request.ts";

/** Every value of a header, line by line, in the order sent. `name` in lower case. */
export function headerValues({ rawHeaders }: Pick<Request, "rawHeaders">, name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === name) values.push(rawHeaders[index + 1] ?? "");
  }
  return values;
}

/** Names, in lower case, of the headers that start with `prefix`. */
export function headerNames({ rawHeaders }: Pick<Request, "rawHeaders">, prefix: string): string[] {
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  return [...new Set(names.filter((name) => name.startsWith(prefix)))];
}

/** Removes headers from a request, in both forms Node keeps them, so that nobody behind us can forward them. */
export function removeHeaders(
  request: Pick<Request, "rawHeaders" | "headers">,
  remove: (name: string) => boolean,
): void {
  const { rawHeaders, headers } = request;
  for (let index = rawHeaders.length - 2; index >= 0; index -= 2) {
    if (remove(rawHeaders[index]?.toLowerCase() ?? "")) rawHeaders.splice(index, 2);
  }
  for (const name of Object.keys(headers)) {
    if (remove(name)) delete headers[name];
  }
}

/** Puts one value in place of all there were. */
export function replaceHeader(request: Pick<Request, "rawHeaders" | "headers">, name: string, value: string): void {
  const key = name.toLowerCase();
  removeHeaders(request, (candidate) => candidate === key);
  request.rawHeaders.push(name, value);
  request.headers[key] = value;
}
