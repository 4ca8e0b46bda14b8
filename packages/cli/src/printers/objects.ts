import type { KubernetesObject } from "@hawser/api";
import { CommandError } from "../errors.ts";
import { findValues, printTemplate, templateValues, valueText } from "../jsonpath/evaluate.ts";
import { type Node, parseRelaxed, parseTemplate, type Step } from "../jsonpath/parse.ts";
import { goJSON } from "./json.ts";
import { TabWriter } from "./tabwriter.ts";
import { visible } from "./visible.ts";
import { toYAML } from "./yaml.ts";

/** An object or a list of them, as JSON data. */
export type Printable = KubernetesObject & { items?: KubernetesObject[] };

/** Prints one object or list after the other. */
export interface ObjectPrinter {
  print(object: Printable): string;
}

export interface OutputOptions {
  /** What -o says, after `-o json` and the like: `jsonpath={.status}`. */
  output: string;
  noHeaders?: boolean;
  showManagedFields?: boolean;
  strictTemplates?: boolean;
}

const formats = [
  "custom-columns",
  "custom-columns-file",
  "json",
  "jsonpath",
  "jsonpath-as-json",
  "jsonpath-file",
  "name",
  "wide",
  "yaml",
];

/** The printer of an output format other than tables. Throws CommandError for one that we do not have. */
export async function objectPrinter({ output, ...options }: OutputOptions): Promise<ObjectPrinter> {
  const [, format = "", , argument] = /^([^=]*)(=(.*))?$/s.exec(output) ?? [];
  const clean = options.showManagedFields ? (object: Printable) => object : withoutManagedFields;
  switch (format) {
    case "json":
      return { print: (object) => `${goJSON(clean(object), 4)}\n` };
    case "yaml":
      return yamlPrinter(clean);
    case "name":
      return {
        print: (object) =>
          each(object)
            .map((item) => `${nameOf(item)}\n`)
            .join(""),
      };
    case "jsonpath":
    case "jsonpath-file":
    case "jsonpath-as-json": {
      if (!argument) throw new CommandError(`template format specified but no template given`);
      const text = format === "jsonpath-file" ? await readTemplate(argument) : argument;
      return jsonPathPrinter(parseTemplate(text), {
        asJSON: format === "jsonpath-as-json",
        strict: options.strictTemplates === true,
      });
    }
    case "custom-columns":
      if (!argument) throw new CommandError("custom-columns format specified but no custom columns given");
      return columnsPrinter(columnsOf(argument), options.noHeaders === true);
    case "custom-columns-file":
      if (!argument) throw new CommandError("custom-columns-file format specified but no custom columns file given");
      return columnsPrinter(templateColumns(await readTemplate(argument)), options.noHeaders === true);
  }
  throw new CommandError(
    `unable to match a printer suitable for the output format ${JSON.stringify(output)}, allowed formats are: ${formats.join(",")}`,
  );
}

function each(object: Printable): KubernetesObject[] {
  return object.items ?? [object];
}

/** `pod/web`, `deployment.apps/web`. */
export function nameOf({ kind = "", apiVersion = "", metadata }: KubernetesObject): string {
  const group = apiVersion.includes("/") ? `.${apiVersion.split("/")[0]}` : "";
  return `${kind.toLowerCase()}${group}/${metadata?.name ?? ""}`;
}

function withoutManagedFields(object: Printable): Printable {
  const clean = <T extends KubernetesObject>(item: T): T => {
    if (!item.metadata?.managedFields) return item;
    const { managedFields: _, ...metadata } = item.metadata;
    return { ...item, metadata };
  };
  return object.items ? { ...object, items: object.items.map(clean) } : clean(object);
}

function yamlPrinter(clean: (object: Printable) => Printable): ObjectPrinter {
  let first = true;
  return {
    print(object) {
      const separator = first ? "" : "---\n";
      first = false;
      return separator + toYAML(clean(object));
    },
  };
}

function jsonPathPrinter(nodes: Node[], { asJSON, strict }: { asJSON: boolean; strict: boolean }): ObjectPrinter {
  return {
    print(object) {
      if (!asJSON) return printTemplate(nodes, object, { strict });
      return templateValues(nodes, object, { strict })
        .map((values) => `${goJSON(values, 4)}\n`)
        .join("");
    },
  };
}

interface Column {
  header: string;
  path: Step[];
}

function columnsOf(spec: string): Column[] {
  return spec.split(",").map((part) => {
    const at = part.indexOf(":");
    if (at < 0) throw new CommandError(`unexpected custom-columns spec: ${part}, expected <header>:<json-path-expr>`);
    return { header: part.slice(0, at), path: parseRelaxed(part.slice(at + 1)) };
  });
}

function templateColumns(text: string): Column[] {
  const [headers = [], paths = []] = text.split("\n").map((line) => line.split(/\s+/).filter(Boolean));
  if (headers.length !== paths.length) {
    throw new CommandError(
      `number of headers (${headers.length}) and field specifications (${paths.length}) don't match`,
    );
  }
  return headers.map((header, index) => ({ header, path: parseRelaxed(paths[index] ?? "") }));
}

function columnsPrinter(columns: Column[], noHeaders: boolean): ObjectPrinter {
  const writer = new TabWriter();
  let headed = noHeaders;
  return {
    print(object) {
      const rows = each(object).map((item) => columns.map(({ path }) => columnText(findValues(path, item))));
      const header = headed ? [] : [columns.map(({ header: name }) => name)];
      headed = true;
      return writer.format([...header, ...rows]);
    },
  };
}

function columnText(values: unknown[]): string {
  if (values.length === 0) return "<none>";
  return values.map((value) => visible(value === null ? "<nil>" : goText(value)).replace(/[\n\t]/g, " ")).join(",");
}

/** Maps and lists as Go prints them: `map[a:1 b:2]`, `[1 2]`. */
function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (typeof value !== "object" || value === null) return value === null ? "<nil>" : valueText(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${pairs.map(([key, item]) => `${key}:${goText(item)}`).join(" ")}]`;
}

async function readTemplate(path: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  try {
    return (await readFile(path, "utf8")).replace(/\n$/, "");
  } catch (cause) {
    throw new CommandError(`error reading template ${path}, ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}
