import type { KubernetesObject } from "@hawser/api";
import { type Manifest, readManifests, withSource } from "../cluster/manifests.ts";
import { placeOf, refOf } from "../cluster/objects.ts";
import { type Context, command } from "../command.ts";
import { CommandError } from "../errors.ts";
import { slice, text, toggle } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { nameOf, objectPrinter } from "../printers/objects.ts";
import { dryRunOf } from "./delete.ts";

/** The flags create and apply share. */
export const manifestFlags = {
  "dry-run": text(
    {
      usage:
        'Must be "none", "server", or "client". If client strategy, only print the object that would be sent, without sending it. If server strategy, submit server-side request without persisting the resource.',
    },
    "none",
    { bare: "unchanged" },
  ),
  filename: slice({ short: "f", usage: "The files that contain the objects; - is stdin." }),
  output: text({
    short: "o",
    usage: "Output format. One of: (json, yaml, name, jsonpath, jsonpath-as-json, jsonpath-file).",
  }),
  recursive: toggle({ short: "R", usage: "Process the directory used in -f, --filename recursively." }),
};

const flags = {
  ...manifestFlags,
  "field-manager": text({ usage: "Name of the manager used to track field ownership." }, "kubectl-create"),
};

/** Source: kubernetes/kubectl pkg/cmd/create/create.go; its subcommands (`create deployment`) are not here. */
export const create = command({
  name: "create",
  use: "create -f FILENAME",
  short: "Create a resource from a file or from stdin",
  long: "Create a resource from a file or from stdin. JSON and YAML formats are accepted.",
  examples: `# Create a pod from a file
hawser create -f pod.yaml

# From stdin
cat pod.json | hawser create -f -`,
  flags,
  run: runCreate,
});

async function runCreate(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  if (given.filename.length === 0) throw new CommandError("must specify one of -f and -k");
  if (args.length > 0)
    throw new CommandError(`unexpected arguments: [${args.join(" ")}]\ncreate takes its objects from -f only`);
  const manifests = await readManifests({
    filenames: given.filename,
    recursive: given.recursive,
    stdin: context.io.stdin,
  });
  const [client, place] = await Promise.all([context.client(), context.namespace()]);
  const dryRun = dryRunOf(given["dry-run"]);
  return await eachManifest(context, manifests, { verb: "created", output: given.output, dryRun }, async (manifest) => {
    const target = await placeOf(client, manifest, place);
    if (dryRun === "client") return manifest;
    return await client.create<KubernetesObject>(refOf({ ...target, name: "" }), manifest, {
      fieldManager: given["field-manager"],
      ...(dryRun === "server" && { dryRun: "All" }),
      signal: context.signal,
    });
  });
}

interface Telling {
  verb: string;
  output: string;
  dryRun: string;
}

/** Does one thing to each object and tells of it; goes on after errors, and throws them at the end. */
export async function eachManifest(
  context: Context,
  manifests: readonly Manifest[],
  { verb, output, dryRun }: Telling,
  act: (manifest: Manifest) => Promise<KubernetesObject & { verb?: string }>,
): Promise<number> {
  const printer = output ? await objectPrinter({ output }) : undefined;
  const dry = { client: " (dry run)", server: " (server dry run)" }[dryRun] ?? "";
  const errors: unknown[] = [];
  for (const manifest of manifests) {
    try {
      const { verb: own, ...result } = await act(manifest);
      const object = { ...result, apiVersion: manifest.apiVersion, kind: manifest.kind };
      await context.out(printer ? printer.print(object) : `${nameOf(object)} ${own ?? verb}${dry}\n`);
    } catch (error) {
      if (context.signal.aborted) throw error;
      errors.push(withSource(error, "creating", manifest));
    }
  }
  if (errors.length > 0) throw new AggregateError(errors);
  return 0;
}
