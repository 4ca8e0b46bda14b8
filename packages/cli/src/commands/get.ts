import { type KubernetesObject, type List, StatusError, type WatchEvent } from "@hawser/api";
import { type KubeClient, lines, pathOf } from "@hawser/client";
import { readManifests } from "../cluster/manifests.ts";
import { type ObjectRef, placeOf, refOf, whatIsMissing } from "../cluster/objects.ts";
import { isUnservedPath, kindName, noSuchType, type ResourceType } from "../cluster/resources.ts";
import { readTargets, type Targets } from "../cluster/targets.ts";
import { type Context, command } from "../command.ts";
import { CommandError, Interrupted, UsageError } from "../errors.ts";
import type { Parsed } from "../flags/parse.ts";
import { humanDuration } from "../printers/age.ts";
import { objectPrinter, type Printable } from "../printers/objects.ts";
import { sortBy } from "../printers/sort.ts";
import { isTable, type Table, TablePrinter } from "../printers/table.ts";
import { type GetFlags, getFlags } from "./get-flags.ts";

const tableAccept =
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
/** Bytes of one watch event. */
const maxEventBytes = 16 * 1024 * 1024;

/** Source: kubernetes/kubectl pkg/cmd/get/get.go */
export const get = command({
  name: "get",
  use: "get [(-o|--output=)json|yaml|name|jsonpath|jsonpath-as-json|jsonpath-file|custom-columns|custom-columns-file|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags]",
  short: "Display one or many resources",
  long: `Display one or many resources.

Prints a table of the most important information about the specified resources. You can filter the list using a label
selector and the --selector flag. If the desired resource type is namespaced you will only see results in the current
namespace if you don't specify any namespace.`,
  examples: `# All pods of the namespace
hawser get pods

# With the node each runs on
hawser get pods -o wide

# The port of a node's kubelet
hawser get node worker -o jsonpath='{.status.daemonEndpoints.kubeletEndpoint.Port}'

# Two types at once, in all namespaces
hawser get pods,events -A`,
  flags: getFlags,
  run: runGet,
});

type Place = Awaited<ReturnType<Context["namespace"]>>;

async function runGet(context: Context, line: Parsed<typeof getFlags>): Promise<number> {
  const { args, flags } = line;
  check(flags, args, context);
  const client = await context.client();
  if (flags.raw) return await getRaw(context, client, flags.raw);
  const place = await context.namespace();
  const targets = await targetsOf(context, client, { line, place });
  const request = { context, client, flags, targets, place };
  if (flags.watch || flags["watch-only"]) return await watch(request);
  return isHuman(flags) ? await printTables(request) : await printObjects(request);
}

function check(flags: GetFlags, args: readonly string[], context: Context): void {
  const { output, raw } = flags;
  if (raw) {
    if (args.length > 0) throw new CommandError("arguments may not be passed when --raw is specified");
    if (output) throw new CommandError("--raw and --output are mutually exclusive");
    if (!raw.startsWith("/"))
      throw new CommandError(`--raw must be a valid URL path: parse ${JSON.stringify(raw)}: invalid URI for request`);
  }
  if (flags["show-labels"] && output && output !== "wide") {
    throw new CommandError(`--show-labels option cannot be used with ${output} printer`);
  }
  if (flags["output-watch-events"] && !flags.watch && !flags["watch-only"]) {
    throw new CommandError("--output-watch-events option can only be used with --watch or --watch-only");
  }
  if (!raw && args.length === 0 && flags.filename.length === 0) {
    context.warn("You must specify the type of resource to get.\n");
    throw new UsageError("Required resource not specified.");
  }
}

function isHuman({ output }: GetFlags): boolean {
  return output === "" || output === "wide";
}

async function getRaw(context: Context, client: KubeClient, raw: string): Promise<number> {
  const url = new URL(raw, "http://h");
  const { body } = await client.stream({
    method: "GET",
    path: url.pathname,
    query: url.searchParams,
    signal: context.signal,
  });
  for await (const chunk of body)
    await context.out(Buffer.from(chunk).toString("latin1") && Buffer.from(chunk).toString("utf8"));
  return 0;
}

interface GetRequest {
  context: Context;
  client: KubeClient;
  flags: GetFlags;
  targets: ReadTargets;
  place: Place;
}

type ReadTargets = Targets & { files?: ObjectRef[] };

async function targetsOf(
  context: Context,
  client: KubeClient,
  { line: { args, flags }, place }: { line: Parsed<typeof getFlags>; place: Place },
): Promise<ReadTargets> {
  if (flags.filename.length > 0) {
    if (args.length > 0) {
      throw new CommandError(
        "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
      );
    }
    const manifests = await readManifests({
      filenames: flags.filename,
      recursive: flags.recursive,
      stdin: context.io.stdin,
    });
    const files = await Promise.all(manifests.map((manifest) => placeOf(client, manifest, place)));
    return { by: "name", items: files, single: files.length === 1, files };
  }
  return await readTargets(client, args, {
    program: context.program,
    selecting: Boolean(flags.selector || flags["field-selector"]),
    allNamespaces: flags["all-namespaces"],
    collections: true,
  });
}

/** One request for one object, or for one type's collection. */
interface Query {
  type: ResourceType;
  namespace: string | undefined;
  name?: string;
}

function queriesOf({ targets, flags, place }: GetRequest): Query[] {
  const namespaceOf = (type: ResourceType) =>
    type.namespaced && !flags["all-namespaces"] ? place.namespace : undefined;
  if (targets.files) return targets.files;
  if (targets.by === "name")
    return targets.items.map(({ type, name }) => ({ type, name, namespace: namespaceOf(type) }));
  return targets.types.map((type) => ({ type, namespace: namespaceOf(type) }));
}

/** The pages of a query's answer: one for an object. */
async function* pages({ client, flags, context }: GetRequest, query: Query, accept?: string): AsyncGenerator<unknown> {
  const path = pathOf(refOf(query)) + (query.name && flags.subresource ? `/${flags.subresource}` : "");
  const includeObject = accept && flags["sort-by"] ? "Object" : undefined;
  let next: string | undefined;
  do {
    const answer = await client
      .request({
        method: "GET",
        path,
        query: query.name
          ? { includeObject }
          : {
              labelSelector: flags.selector || undefined,
              fieldSelector: flags["field-selector"] || undefined,
              limit: flags["sort-by"] ? undefined : flags["chunk-size"] || undefined,
              continue: next,
              includeObject,
            },
        accept,
        signal: context.signal,
      })
      .catch(async (error: unknown) => {
        if (isUnservedPath(error)) throw noSuchType(query.type.asked ?? query.type.resource);
        if (!query.name) throw error;
        throw await whatIsMissing(client, { namespace: query.namespace, error, signal: context.signal });
      });
    yield answer;
    next = query.name ? undefined : (answer as { metadata?: { continue?: string } }).metadata?.continue || undefined; // Table and list alike
  } while (next);
}

async function printTables(request: GetRequest): Promise<number> {
  const { context, flags, targets, place } = request;
  const queries = queriesOf(request);
  const errors: unknown[] = [];
  const withKind = flags["show-kind"] || new Set(queries.map(({ type }) => type.kind)).size > 1;
  let last: ResourceType | undefined;
  let printer = new TablePrinter();
  let wrote = false;
  /** An empty line goes before the next table. */
  let separate = false;
  for (const query of queries) {
    if (last?.resource !== query.type.resource || last.apiVersion !== query.type.apiVersion) {
      printer = tablePrinter(flags, query.type, withKind);
      separate ||= wrote && !flags["no-headers"];
      last = query.type;
    }
    try {
      const tables: Table[] = [];
      for await (const answer of pages(request, query, tableAccept)) tables.push(asTable(answer));
      for (const text of sorted(tables, flags["sort-by"]).map((table) => printer.print(table))) {
        if (text === "") continue;
        await context.out(separate ? `\n${text}` : text);
        wrote = true;
        separate = false;
      }
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (flags["ignore-not-found"] && error instanceof StatusError && error.code === 404) continue;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors);
  if (!wrote && !flags["ignore-not-found"] && targets.by === "collection") {
    const within = !flags["all-namespaces"] && queries.every(({ type }) => type.namespaced);
    context.warn(within ? `No resources found in ${place.namespace} namespace.` : "No resources found");
  }
  return 0;
}

function tablePrinter(flags: GetFlags, type: ResourceType, withKind: boolean): TablePrinter {
  return new TablePrinter({
    wide: flags.output === "wide",
    noHeaders: flags["no-headers"],
    withNamespace: flags["all-namespaces"] && type.namespaced,
    kind: withKind ? kindName(type) : undefined,
    showLabels: flags["show-labels"],
    labelColumns: flags["label-columns"],
  });
}

function sorted(tables: Table[], expression: string): Table[] {
  const [first] = tables;
  if (!expression || !first) return tables;
  const rows = tables.flatMap((table) => table.rows ?? []);
  return [{ ...first, rows: sortBy(rows, expression, ({ object }) => object) }];
}

/** A server that makes no tables answers with objects: their names and ages are what all have. */
function asTable(answer: unknown): Table {
  if (isTable(answer)) return answer;
  const object = answer as Printable; // a list or an object, as what is not a table must be
  const now = Date.now();
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    columnDefinitions: [{ name: "Name", format: "name" }, { name: "Age" }],
    rows: (object.items ?? [object]).map((item) => {
      const created = item.metadata?.creationTimestamp;
      const age = created ? humanDuration(now - Date.parse(String(created))) : "<unknown>";
      return { cells: [item.metadata?.name, age], object: item };
    }),
  };
}

async function printObjects(request: GetRequest): Promise<number> {
  const { context, flags, targets } = request;
  const printer = await outputPrinter(flags);
  const errors: unknown[] = [];
  const found: KubernetesObject[] = [];
  for (const query of queriesOf(request)) {
    try {
      for await (const answer of pages(request, query)) found.push(...objectsOf(answer, query.type));
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (flags["ignore-not-found"] && error instanceof StatusError && error.code === 404) continue;
      errors.push(error);
    }
  }
  const [only] = found;
  const single = targets.by === "name" && targets.single;
  if (single && errors.length > 0) throw errors[0];
  if (found.length === 0 && flags["ignore-not-found"]) return 0;
  const items = flags["sort-by"] ? sortBy(found, flags["sort-by"], (item) => item) : found;
  const result: Printable =
    single && only ? only : { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items };
  await context.out(printer.print(result));
  if (errors.length > 0) throw new AggregateError(errors);
  return 0;
}

async function outputPrinter(flags: GetFlags) {
  return await objectPrinter({
    output: flags.output,
    noHeaders: flags["no-headers"],
    showManagedFields: flags["show-managed-fields"],
    strictTemplates: !flags["allow-missing-template-keys"],
  });
}

/** A list's items do not say what they are; the list does. */
function objectsOf(answer: unknown, type: ResourceType): KubernetesObject[] {
  const { items } = answer as Partial<List>; // as only lists have it
  if (!Array.isArray(items)) return [answer as KubernetesObject];
  return items.map((item) => ({ apiVersion: type.apiVersion, kind: type.kind, ...item }));
}

type AnyEvent = WatchEvent<KubernetesObject> | { type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; object: Table };

async function watch(request: GetRequest): Promise<number> {
  const { context, client, flags } = request;
  const [query, ...more] = queriesOf(request);
  if (!query) throw new CommandError("no resource to watch");
  if (more.some(({ type }) => type.resource !== query.type.resource))
    throw new CommandError("you may only specify a single resource type");
  if (more.length > 0) {
    throw new CommandError(
      "watch is only supported on individual resources and resource collections - more than 1 resource was found",
    );
  }
  const human = isHuman(flags);
  const show = human ? tableShow(flags, query.type) : await objectShow(flags, query.type);
  const accept = human ? tableAccept : undefined;
  let version = "0";
  for await (const answer of pages(request, query, accept)) {
    if (!query.name) version = (answer as { metadata?: { resourceVersion?: string } }).metadata?.resourceVersion ?? "0";
    if (!flags["watch-only"]) await context.out(show(answer, flags["output-watch-events"] ? "ADDED" : undefined));
  }
  // A watch of one object starts with that object, which was shown.
  let skip = query.name ? 1 : 0;
  const fieldSelector = [flags["field-selector"], query.name && `metadata.name=${query.name}`]
    .filter(Boolean)
    .join(",");
  const { name: _, ...collection } = query;
  try {
    const { body } = await client.stream({
      method: "GET",
      path: pathOf(refOf(collection)),
      query: {
        watch: true,
        resourceVersion: version,
        labelSelector: flags.selector || undefined,
        fieldSelector: fieldSelector || undefined,
      },
      accept: accept ?? "application/json",
      signal: context.signal,
    });
    for await (const text of lines(body, maxEventBytes)) {
      const event = JSON.parse(text) as AnyEvent; // what a watch answers
      if (event.type === "ERROR") throw new StatusError(event.object);
      if (event.type === "BOOKMARK" || skip-- > 0) continue;
      await context.out(show(event.object, flags["output-watch-events"] ? event.type : undefined));
    }
  } catch (error) {
    // kubectl ends a watch that is interrupted with 1, where a shell would make it 130.
    if (context.signal.aborted && context.signal.reason instanceof Interrupted) return 1;
    throw error;
  }
  return 0;
}

type Show = (answer: unknown, event: string | undefined) => string;

function tableShow(flags: GetFlags, type: ResourceType): Show {
  const printer = tablePrinter(flags, type, flags["show-kind"]);
  return (answer, event) => printer.print(asTable(answer), event);
}

async function objectShow(flags: GetFlags, type: ResourceType): Promise<Show> {
  const printer = await outputPrinter(flags);
  return (answer, event) =>
    objectsOf(answer, type)
      .map((object) => printer.print(event ? ({ type: event, object } as Printable) : object))
      .join("");
}
