import { type KubernetesObject, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { awaitObject, TimedOut } from "../cluster/await.ts";
import { readManifests } from "../cluster/manifests.ts";
import { type ObjectRef, placeOf, refOf, uidOf } from "../cluster/objects.ts";
import { isUnservedPath, kindName, noSuchType } from "../cluster/resources.ts";
import { readTargets } from "../cluster/targets.ts";
import { type Context, command } from "../command.ts";
import { CommandError } from "../errors.ts";
import { duration, integer, slice, text, toggle, type Values } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";

const flags = {
  all: toggle({ usage: "Delete all resources, in the namespace of the specified resource types." }),
  "all-namespaces": toggle({
    short: "A",
    usage:
      "If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even if specified with --namespace.",
  }),
  cascade: text(
    {
      usage:
        'Must be "background", "orphan", or "foreground". Selects the deletion cascading strategy for the dependents (e.g. Pods created by a ReplicationController). Defaults to background.',
    },
    "background",
    { bare: "background" },
  ),
  "dry-run": text(
    {
      usage:
        'Must be "none", "server", or "client". If client strategy, only print the object that would be sent, without sending it. If server strategy, submit server-side request without persisting the resource.',
    },
    "none",
    { bare: "unchanged" },
  ),
  "field-selector": text({
    usage:
      "Selector (field query) to filter on, supports '=', '==', and '!='.(e.g. --field-selector key1=value1,key2=value2). The server only supports a limited number of field queries per type.",
  }),
  filename: slice({ short: "f", usage: "containing the resource to delete." }),
  force: toggle({
    usage:
      "If true, immediately remove resources from API and bypass graceful deletion. Note that immediate deletion of some resources may result in inconsistency or data loss and requires confirmation.",
  }),
  "grace-period": integer(
    {
      usage:
        "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion).",
    },
    -1,
  ),
  "ignore-not-found": toggle({
    usage: 'Treat "resource not found" as a successful delete. Defaults to "true" when --all is specified.',
  }),
  now: toggle({ usage: "If true, resources are signaled for immediate shutdown (same as --grace-period=1)." }),
  output: text({ short: "o", usage: 'Output mode. Use "-o name" for shorter output (resource/name).' }),
  recursive: toggle({ short: "R", usage: "Process the directory used in -f, --filename recursively." }),
  selector: text({
    short: "l",
    usage:
      "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.(e.g. -l key1=value1,key2=value2). Matching objects must satisfy all of the specified label constraints.",
  }),
  timeout: duration({
    usage:
      "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object",
  }),
  wait: toggle({ usage: "If true, wait for resources to be gone before returning. This waits for finalizers." }, true),
};

type Flags = Values<typeof flags>;

/** Source: kubernetes/kubectl pkg/cmd/delete/delete.go */
export const remove = command({
  name: "delete",
  use: "delete ([-f FILENAME] | TYPE [(NAME | -l label | --all)])",
  short: "Delete resources by file names, stdin, resources and names, or by resources and label selector",
  long: `Delete resources by file names, stdin, resources and names, or by resources and label selector.

Pods are given time to end: their grace period, which --grace-period changes. With --force they are taken out of the
API at once, and their processes may run on for a while.`,
  examples: `# Delete a pod
hawser delete pod exec-test-nginx

# Delete what a file describes
hawser delete -f pod.yaml

# Delete all pods with a label, giving each one second
hawser delete pods -l run=web --now`,
  flags,
  run: runDelete,
});

interface Plan {
  gracePeriodSeconds: number | undefined;
  ignoreNotFound: boolean;
  propagationPolicy: "Background" | "Orphan" | "Foreground";
  dryRun: "none" | "client" | "server";
}

async function runDelete(context: Context, { args, flags: given, changed }: Parsed<typeof flags>): Promise<number> {
  const plan = planOf(given, changed);
  if (given.force && plan.gracePeriodSeconds === 0) {
    context.warn(
      "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.",
    );
  }
  const [client, place] = await Promise.all([context.client(), context.namespace()]);
  const refs = await findObjects(context, client, { args, given, place });
  const errors: unknown[] = [];
  const deleted: { target: ObjectRef; uid: string | undefined }[] = [];
  for (const target of refs) {
    try {
      const uid = await deleteOne(client, target, { plan, signal: context.signal });
      deleted.push({ target, uid });
      await context.out(`${message(target, plan, given.output)}\n`);
    } catch (error) {
      if (plan.ignoreNotFound && isNotFound(error)) continue;
      if (context.signal.aborted) throw error;
      errors.push(isUnservedPath(error) ? noSuchType(target.type.asked ?? target.type.resource) : error);
    }
  }
  if (refs.length === 0) await context.out("No resources found\n");
  if (given.wait && plan.dryRun === "none") {
    for (const each of deleted) await awaitGone(client, { ...each, timeoutMs: given.timeout, signal: context.signal });
  }
  if (errors.length > 0) throw new AggregateError(errors);
  return 0;
}

function planOf(given: Flags, changed: ReadonlySet<string>): Plan {
  const { output, all, now, force, selector } = given;
  if (output && output !== "name")
    throw new CommandError(`unexpected -o output mode: ${output}. We only support '-o name'`);
  if (all && selector) throw new CommandError("cannot set --all and --selector at the same time");
  if (all && given["field-selector"]) throw new CommandError("cannot set --all and --field-selector at the same time");
  let grace = given["grace-period"];
  if (now) {
    if (grace !== -1) throw new CommandError("--now and --grace-period cannot be specified together");
    grace = 1;
  }
  if (grace === 0 && !force) grace = 1; // 0 would lose the processes; --force says that this is meant
  if (force && grace < 0) grace = 0;
  if (force && grace > 0)
    throw new CommandError("--force and --grace-period greater than 0 cannot be specified together");
  const selecting = all || selector || given["field-selector"];
  return {
    gracePeriodSeconds: grace >= 0 ? grace : undefined,
    ignoreNotFound: changed.has("ignore-not-found") ? given["ignore-not-found"] : Boolean(selecting),
    propagationPolicy: policyOf(given.cascade),
    dryRun: dryRunOf(given["dry-run"]),
  };
}

function policyOf(cascade: string): Plan["propagationPolicy"] {
  if (cascade === "background" || cascade === "true") return "Background";
  if (cascade === "orphan" || cascade === "false") return "Orphan";
  if (cascade === "foreground") return "Foreground";
  throw new CommandError(`invalid cascade value (${cascade}). Must be "background", "foreground", or "orphan"`);
}

/** The three values of --dry-run. Throws CommandError for others. */
export function dryRunOf(value: string): "none" | "client" | "server" {
  if (value === "none" || value === "client" || value === "server") return value;
  if (value === "unchanged" || value === "true") {
    throw new CommandError(
      `--dry-run flag without a value was specified. A value must be set: "none", "server", or "client".`,
    );
  }
  throw new CommandError(`Invalid dry-run value (${value}). Must be "none", "server", or "client".`);
}

interface Wanted {
  args: readonly string[];
  given: Flags;
  place: { namespace: string; explicit: boolean };
}

async function findObjects(context: Context, client: KubeClient, { args, given, place }: Wanted): Promise<ObjectRef[]> {
  if (given.filename.length > 0) {
    if (args.length > 0) {
      throw new CommandError(
        "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
      );
    }
    const manifests = await readManifests({
      filenames: given.filename,
      recursive: given.recursive,
      stdin: context.io.stdin,
    });
    return await Promise.all(manifests.map((manifest) => placeOf(client, manifest, place)));
  }
  const selecting = Boolean(given.all || given.selector || given["field-selector"]);
  const targets = await readTargets(client, args, {
    program: context.program,
    selecting,
    allNamespaces: given["all-namespaces"],
    collections: false,
  });
  if (targets.by === "name") {
    return targets.items.map(({ type, name }) => ({
      type,
      name,
      namespace: type.namespaced ? place.namespace : undefined,
    }));
  }
  const found: ObjectRef[] = [];
  for (const type of targets.types) {
    const namespace = given["all-namespaces"] ? undefined : place.namespace;
    const list = await client.list<KubernetesObject>(refOf({ type, namespace }), {
      labelSelector: given.selector || undefined,
      fieldSelector: given["field-selector"] || undefined,
      signal: context.signal,
    });
    for (const { metadata } of list.items) {
      found.push({ type, namespace: metadata?.namespace, name: metadata?.name ?? "" });
    }
  }
  return found;
}

async function deleteOne(
  client: KubeClient,
  target: ObjectRef,
  { plan, signal }: { plan: Plan; signal: AbortSignal },
): Promise<string | undefined> {
  if (plan.dryRun === "client") return undefined;
  const { gracePeriodSeconds, propagationPolicy } = plan;
  const answer = await client.delete<KubernetesObject>(refOf(target), {
    gracePeriodSeconds,
    propagationPolicy,
    ...(plan.dryRun === "server" && { dryRun: "All" }),
    signal,
  });
  return uidOf(answer);
}

function message({ type, name }: ObjectRef, plan: Plan, output: string): string {
  if (output === "name") return `${kindName(type)}/${name}`;
  const forced = plan.gracePeriodSeconds === 0 ? "force deleted" : "deleted";
  const dry = { none: "", client: " (dry run)", server: " (server dry run)" }[plan.dryRun];
  return `${kindName(type)} "${name}" ${forced}${dry}`;
}

/** Waits until an object is gone, or another one has its name. */
export async function awaitGone(
  client: KubeClient,
  {
    target,
    uid,
    timeoutMs,
    signal,
  }: { target: ObjectRef; uid: string | undefined; timeoutMs: number; signal: AbortSignal },
): Promise<void> {
  try {
    await awaitObject(client, {
      target,
      timeoutMs,
      signal,
      check: (object) => (!object || (uid && object.metadata?.uid !== uid) ? true : undefined),
      // Who may delete but not look must not fail for it.
      giveUp: (error) => error instanceof StatusError && [403, 404, 405].includes(error.code),
    });
  } catch (error) {
    if (error instanceof TimedOut) {
      throw new CommandError(`timed out waiting for the condition on ${target.type.resource}/${target.name}`, {
        cause: error,
      });
    }
    if (error instanceof StatusError && [403, 404, 405].includes(error.code)) return;
    throw error;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof StatusError && error.code === 404;
}
