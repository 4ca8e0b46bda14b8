/**
 * The YAML that kubeconfigs are written in, read in a fraction of the time it takes to load a YAML library: block maps
 * and lists, scalars of one line, comments. Undefined for anything beyond that, which the library then reads; never a
 * different reading of the same text.
 */
export function parseSimpleYAML(text: string): unknown {
  const lines: Line[] = [];
  for (const raw of text.split("\n")) {
    const body = raw.trimStart();
    if (body === "" || body.startsWith("#")) continue;
    if (raw.includes("\t") || raw.includes("\r")) return undefined;
    lines.push({ indent: raw.length - body.length, body: body.trimEnd() });
  }
  if (lines.length === 0 || lines[0]?.indent !== 0) return undefined;
  const reader = { lines, at: 0 };
  const value = readBlock(reader, 0);
  return reader.at === lines.length ? value : undefined;
}

interface Line {
  indent: number;
  body: string;
}
interface Reader {
  lines: Line[];
  at: number;
}

/** What stands at one indentation. Undefined, and so for all around it, where it is not simple. */
function readBlock(reader: Reader, indent: number): unknown {
  const isList = reader.lines[reader.at]?.body.startsWith("- ");
  return isList ? readList(reader, indent) : readMap(reader, indent);
}

function readList(reader: Reader, indent: number): unknown[] | undefined {
  const items: unknown[] = [];
  for (
    let line = reader.lines[reader.at];
    line && line.indent === indent && line.body.startsWith("- ");
    line = reader.lines[reader.at]
  ) {
    const rest = line.body.slice(2).trimStart();
    const column = indent + line.body.length - rest.length;
    let item: unknown;
    if (keyOf(rest)) {
      // A map that begins behind its dash: the line is read again as the first of that map.
      reader.lines[reader.at] = { indent: column, body: rest };
      item = readMap(reader, column);
    } else {
      item = scalar(rest);
      reader.at++;
    }
    if (item === undefined) return undefined;
    items.push(item);
  }
  return items;
}

function readMap(reader: Reader, indent: number): Record<string, unknown> | undefined {
  const map: Record<string, unknown> = {};
  for (let line = reader.lines[reader.at]; line && line.indent === indent; line = reader.lines[reader.at]) {
    const found = keyOf(line.body);
    if (!found || Object.hasOwn(map, found.key) || found.key === "__proto__") return undefined;
    reader.at++;
    const next = reader.lines[reader.at];
    let value: unknown;
    if (found.rest !== "") {
      // A deeper line behind a value would continue it.
      if (next && next.indent > indent) return undefined;
      value = scalar(found.rest);
    } else if (next && next.indent > indent) value = readBlock(reader, next.indent);
    else if (next && next.indent === indent && next.body.startsWith("- ")) value = readList(reader, indent);
    else value = null;
    if (value === undefined) return undefined;
    map[found.key] = value;
  }
  return map;
}

function keyOf(body: string): { key: string; rest: string } | undefined {
  const match = /^([A-Za-z_][\w./-]*):(?: +(.*))?$/.exec(body);
  const [, key, rest = ""] = match ?? [];
  return key === undefined || typeof scalar(key) !== "string"
    ? undefined
    : { key, rest: rest.startsWith("#") ? "" : rest };
}

/** A scalar that means one thing in every version of YAML. */
function scalar(text: string): unknown {
  if (text === "{}") return {};
  if (text === "[]") return [];
  if (text === "null" || text === "~") return null;
  if (text === "true") return true;
  if (text === "false") return false;
  if (/^(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  const quoted = /^"([^"\\]*)"$/.exec(text) ?? /^'([^']*)'$/.exec(text);
  if (quoted) return quoted[1];
  // No indicator, no comment, nothing that some version takes for a number, a time or a boolean.
  if (!/^[A-Za-z/][\w./:@+=~-]*$/.test(text) || text.endsWith(":")) return undefined;
  return /^(?:y|yes|n|no|on|off|true|false|null)$/i.test(text) ? undefined : text;
}
