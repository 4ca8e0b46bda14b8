import { type KubernetesObject, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { awaitObject, TimedOut } from "../cluster/await.ts";
import { type ObjectRef, refOf, whatIsMissing } from "../cluster/objects.ts";
import { kindName } from "../cluster/resources.ts";
import { readTargets } from "../cluster/targets.ts";
import { type Context, command } from "../command.ts";
import { CommandError } from "../errors.ts";
import { duration, text, toggle } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { findValues, valueText } from "../jsonpath/evaluate.ts";
import { parseRelaxed } from "../jsonpath/parse.ts";
import { awaitGone } from "./delete.ts";

const flags = {
  all: toggle({ usage: "Select all resources in the namespace of the specified resource types" }),
  "all-namespaces": toggle({ short: "A", usage: "If present, list the requested object(s) across all namespaces." }),
  "field-selector": text({ usage: "Selector (field query) to filter on, supports '=', '==', and '!='." }),
  for: text({
    usage:
      "The condition to wait on: [create|delete|condition=condition-name[=condition-value]|jsonpath='{JSONPath expression}'=[JSONPath value]].",
  }),
  selector: text({
    short: "l",
    usage: "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.",
  }),
  timeout: duration(
    {
      usage:
        "The length of time to wait before giving up.  Zero means check once and don't wait, negative means wait for a week.",
    },
    30_000,
  ),
};

/** Milliseconds of a week, which is for ever. */
const forever = 7 * 24 * 3_600_000;

/** Source: kubernetes/kubectl pkg/cmd/wait/wait.go */
export const wait = command({
  name: "wait",
  use: "wait (resource/name | resource [-l label | --all]) --for=create|--for=delete|--for=condition=available|--for=jsonpath='{}'[=value]",
  short: "Wait for a specific condition on one or many resources",
  long: "Wait for a specific condition on one or many resources.",
  examples: `# Until a pod is ready
hawser wait --for=condition=Ready pod/exec-test-nginx

# Until it runs
hawser wait --for=jsonpath='{.status.phase}'=Running pod/exec-test-nginx

# Until it is gone
hawser wait --for=delete pod/exec-test-nginx --timeout=60s`,
  flags,
  run: runWait,
});

/** Undefined while it is not so. */
type Check = (object: KubernetesObject | undefined) => true | undefined;

async function runWait(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  if (!given.for) throw new CommandError("--for must be specified");
  const gone = given.for.toLowerCase() === "delete";
  const check = gone ? undefined : readCondition(given.for);
  const client = await context.client();
  const place = await context.namespace();
  const targets = await readTargets(client, args, {
    program: context.program,
    selecting: Boolean(given.all || given.selector || given["field-selector"]),
    allNamespaces: given["all-namespaces"],
    collections: false,
  });
  const found: ObjectRef[] = [];
  if (targets.by === "name")
    for (const item of targets.items)
      found.push({ ...item, namespace: item.type.namespaced ? place.namespace : undefined });
  else {
    for (const type of targets.types) {
      const list = await client.list<KubernetesObject>(
        refOf({ type, namespace: given["all-namespaces"] ? undefined : place.namespace }),
        {
          labelSelector: given.selector || undefined,
          fieldSelector: given["field-selector"] || undefined,
          signal: context.signal,
        },
      );
      for (const { metadata } of list.items)
        found.push({ type, namespace: metadata?.namespace, name: metadata?.name ?? "" });
    }
  }
  if (found.length === 0) {
    if (gone) return 0;
    throw new CommandError("no matching resources found");
  }
  const deadline = Date.now() + (given.timeout < 0 ? forever : given.timeout);
  for (const target of found) {
    const timeoutMs = Math.max(1, deadline - Date.now());
    const shown = `${kindName(target.type)}/${target.name}`;
    if (!check) {
      if (!(await isThere(client, target, context.signal))) continue;
      await awaitGone(client, { target, uid: undefined, timeoutMs, signal: context.signal });
    } else {
      if (given.for.toLowerCase() !== "create") await find(client, target, context.signal);
      await awaitObject(client, { target, timeoutMs, check, signal: context.signal }).catch((error: unknown) => {
        if (!(error instanceof TimedOut)) throw error;
        throw new CommandError(`timed out waiting for the condition on ${target.type.resource}/${target.name}`, {
          cause: error,
        });
      });
    }
    await context.out(`${shown} condition met\n`);
  }
  return 0;
}

async function find(client: KubeClient, target: ObjectRef, signal: AbortSignal): Promise<void> {
  try {
    await client.get(refOf(target), { signal });
  } catch (error) {
    throw await whatIsMissing(client, { namespace: target.namespace, error, signal });
  }
}

async function isThere(client: KubeClient, target: ObjectRef, signal: AbortSignal): Promise<boolean> {
  try {
    await client.get(refOf(target), { signal });
    return true;
  } catch (error) {
    if (error instanceof StatusError && error.code === 404) return false;
    throw error;
  }
}

function readCondition(condition: string): Check {
  if (condition.toLowerCase() === "create") return (object) => (object ? true : undefined);
  const [, kind, rest = ""] = /^(condition|jsonpath)=(.*)$/s.exec(condition) ?? [];
  if (kind === "condition") {
    const [name = "", value = "True"] = rest.split("=");
    return (object) => (hasCondition(object, name, value) ? true : undefined);
  }
  if (kind === "jsonpath") {
    const [, expression = "", value] = /^(\{.*\}|[^=]*)(?:=(.*))?$/s.exec(rest) ?? [];
    const path = parseRelaxed(expression.replace(/^'|'$/g, ""));
    return (object) => {
      if (!object) return undefined;
      const values = findValues(path, object);
      if (value === undefined) return values.length > 0 && values[0] !== null ? true : undefined;
      return values.length === 1 && valueText(values[0]) === value ? true : undefined;
    };
  }
  throw new CommandError(`unrecognized condition: ${JSON.stringify(condition)}`);
}

function hasCondition(object: KubernetesObject | undefined, name: string, value: string): boolean {
  const { status } = (object ?? {}) as { status?: { conditions?: { type: string; status: string }[] } }; // where a type has conditions
  return (
    status?.conditions?.some(
      ({ type, status: is }) => type.toLowerCase() === name.toLowerCase() && is.toLowerCase() === value.toLowerCase(),
    ) ?? false
  );
}
