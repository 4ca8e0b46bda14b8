import { type Context, command } from "../command.ts";
import { CommandError, UsageError } from "../errors.ts";
import { text, toggle } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { TabWriter } from "../printers/tabwriter.ts";

const flags = {
  "no-headers": toggle({ usage: "When using the default output format, don't print headers." }),
  output: text({ short: "o", usage: "Output format. One of: (name)." }),
};

/** Source: kubernetes/kubectl pkg/cmd/config; what writes kubeconfigs is not here. */
export const config = command({
  name: "config",
  use: "config (current-context | get-contexts [(-o|--output=)name])",
  short: "Show the contexts of the kubeconfig",
  long: "Show the contexts of the kubeconfig, or the one in use.",
  examples: `# Which cluster are we talking to?
hawser config current-context

# Which others are there?
hawser config get-contexts`,
  flags,
  run: runConfig,
});

async function runConfig(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  const [verb, ...names] = args;
  const { readKubeconfig } = await import("@hawser/client");
  const read = () => readKubeconfig({ path: context.globals.kubeconfig || undefined, env: context.io.env });
  if (verb === "current-context") {
    const { currentContext } = await read();
    if (!currentContext) throw new CommandError("current-context is not set");
    await context.out(`${currentContext}\n`);
    return 0;
  }
  if (verb !== "get-contexts")
    throw new UsageError(`unknown command ${JSON.stringify(verb ?? "")} for "${context.program} config"`);
  if (given.output && given.output !== "name") {
    throw new CommandError(`output must be one of '' or 'name': ${given.output}`);
  }
  const file = await read();
  for (const name of names) if (!file.contexts.has(name)) throw new CommandError(`context ${name} not found`);
  const shown = [...file.contexts]
    .filter(([name]) => names.length === 0 || names.includes(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (given.output === "name") {
    await context.out(shown.map(([name]) => `${name}\n`).join(""));
    return 0;
  }
  const rows = shown.map(([name, { cluster = "", user = "", namespace = "" }]) => [
    name === file.currentContext ? "*" : "",
    name,
    cluster,
    user,
    namespace,
  ]);
  const header = given["no-headers"] ? [] : [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]];
  await context.out(new TabWriter().format([...header, ...rows]));
  return 0;
}
