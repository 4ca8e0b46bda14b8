import { type KubernetesObject, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { type Manifest, readManifests } from "../cluster/manifests.ts";
import { type ObjectRef, placeOf, refOf } from "../cluster/objects.ts";
import { type Context, command } from "../command.ts";
import { CommandError } from "../errors.ts";
import { text } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { goJSON } from "../printers/json.ts";
import { eachManifest, manifestFlags } from "./create.ts";
import { dryRunOf } from "./delete.ts";

/** Where kubectl keeps what was applied last, to know what was taken out since. */
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

const flags = {
  ...manifestFlags,
  "field-manager": text({ usage: "Name of the manager used to track field ownership." }, "kubectl-client-side-apply"),
};

/** Source: kubernetes/kubectl pkg/cmd/apply/apply.go, client-side */
export const apply = command({
  name: "apply",
  use: "apply -f FILENAME",
  short: "Apply a configuration to a resource by file name or stdin",
  long: `Apply a configuration to a resource by file name or stdin. The resource will be created if it doesn't exist yet.
JSON and YAML formats are accepted. Changes are sent as a strategic merge patch; what was taken out of the file since it
was applied last is taken out of the object.`,
  examples: `# Create or change a pod as a file says
hawser apply -f pod.yaml`,
  flags,
  run: runApply,
});

async function runApply(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  if (given.filename.length === 0) throw new CommandError("must specify one of -f and -k");
  if (args.length > 0) throw new CommandError(`Unexpected args: [${args.join(" ")}]`);
  const manifests = await readManifests({
    filenames: given.filename,
    recursive: given.recursive,
    stdin: context.io.stdin,
  });
  const [client, place] = await Promise.all([context.client(), context.namespace()]);
  const dryRun = dryRunOf(given["dry-run"]);
  return await eachManifest(context, manifests, { verb: "applied", output: given.output, dryRun }, async (manifest) => {
    const target = await placeOf(client, manifest, place);
    if (!target.name) throw new CommandError("resource name may not be empty");
    const options = { fieldManager: given["field-manager"], dryRun, signal: context.signal };
    return await applyOne(client, { target, manifest, options });
  });
}

interface Application {
  target: ObjectRef;
  manifest: Manifest;
  options: { fieldManager: string; dryRun: "none" | "client" | "server"; signal: AbortSignal };
}

async function applyOne(
  client: KubeClient,
  { target, manifest, options: { fieldManager, dryRun, signal } }: Application,
): Promise<KubernetesObject & { verb: string }> {
  const wanted = annotated(manifest, target.namespace);
  const write = { fieldManager, ...(dryRun === "server" && { dryRun: "All" as const }), signal };
  const current = await client.get<KubernetesObject>(refOf(target), { signal }).catch((error: unknown) => {
    if (error instanceof StatusError && error.code === 404) return undefined;
    throw error;
  });
  if (!current) {
    if (dryRun === "client") return { ...wanted, verb: "created" };
    return {
      ...(await client.create<KubernetesObject>(refOf({ ...target, name: "" }), wanted, write)),
      verb: "created",
    };
  }
  const before = previous(current);
  const patch = { ...changes(before, wanted, current), apiVersion: undefined, kind: undefined };
  if (Object.values(patch).every((value) => value === undefined)) return { ...current, verb: "unchanged" };
  if (dryRun === "client") return { ...current, verb: "configured" };
  // Custom resources have no lists with keys: for them a merge patch is all there is.
  const type = isBuiltIn(manifest.apiVersion) ? "strategic" : "merge";
  const result = await client.patch<KubernetesObject>(refOf(target), patch, { ...write, type });
  const same = result.metadata?.resourceVersion === current.metadata?.resourceVersion;
  return { ...result, verb: same ? "unchanged" : "configured" };
}

function isBuiltIn(apiVersion: string): boolean {
  const [group = ""] = apiVersion.split("/");
  return !apiVersion.includes("/") || !group.includes(".") || group.endsWith(".k8s.io");
}

/** With the annotation that says what was applied, as kubectl writes it: one line and a newline. */
function annotated(manifest: Manifest, namespace: string | undefined): Manifest {
  const { annotations = {}, ...metadata } = manifest.metadata;
  const { [lastApplied]: _, ...others } = annotations;
  const placed = { ...metadata, ...(namespace && { namespace }) };
  const plain = { ...manifest, metadata: { ...placed, annotations: others } };
  return { ...plain, metadata: { ...placed, annotations: { ...others, [lastApplied]: `${goJSON(plain)}\n` } } };
}

function previous({ metadata }: KubernetesObject): unknown {
  const text = metadata?.annotations?.[lastApplied];
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined; // somebody else's annotation: then nothing is known to have been taken out
  }
}

/**
 * What turns `current` into `wanted`: members that differ, and null for those that `before` had and `wanted` has not.
 * Lists go as a whole; a strategic merge patch merges those that have keys.
 */
function changes(before: unknown, wanted: unknown, current: unknown): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  const [old, now, live] = [before, wanted, current].map((value) => (isRecord(value) ? value : {}));
  for (const [key, value] of Object.entries(now ?? {})) {
    const have = live?.[key];
    if (isRecord(value) && isRecord(have)) {
      const inner = changes(old?.[key], value, have);
      if (Object.keys(inner).length > 0) patch[key] = inner;
    } else if (!contains(have, value)) patch[key] = value;
  }
  for (const key of Object.keys(old ?? {})) if (!(key in (now ?? {})) && key in (live ?? {})) patch[key] = null;
  return patch;
}

/** True where all that is wanted is there, defaults of the server's beside it. */
function contains(have: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(have) && have.length === wanted.length && wanted.every((item, index) => contains(have[index], item))
    );
  }
  if (isRecord(wanted))
    return isRecord(have) && Object.entries(wanted).every(([key, value]) => contains(have[key], value));
  return have === wanted || ((wanted === null || wanted === undefined) && (have === null || have === undefined));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
