import { type Context, command } from "../command.ts";
import { CommandError } from "../errors.ts";
import { text, toggle } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { goJSON } from "../printers/json.ts";
import { toYAML } from "../printers/yaml.ts";

/** Of this client. */
const clientVersion = "v0.1.0";

const flags = {
  client: toggle({ usage: "If true, shows client version only (no server required)." }),
  output: text({ short: "o", usage: "One of 'yaml' or 'json'." }),
};

/** Source: kubernetes/kubectl pkg/cmd/version/version.go */
export const version = command({
  name: "version",
  use: "version [flags]",
  short: "Print the client and server version information",
  long: "Print the client and server version information for the current context.",
  examples: `# Print the client and server versions for the current context
hawser version`,
  flags,
  run: runVersion,
});

async function runVersion(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  if (args.length > 0) throw new CommandError(`extra arguments: [${args.join(" ")}]`);
  if (given.output && given.output !== "json" && given.output !== "yaml") {
    throw new CommandError("--output must be 'yaml' or 'json'");
  }
  const mine = { gitVersion: clientVersion, platform: `${process.platform}/${process.arch}` };
  let server: { gitVersion?: string } | undefined;
  let failure: unknown;
  if (!given.client) {
    try {
      const client = await context.client();
      server = (await client.request({ method: "GET", path: "/version", signal: context.signal })) as {
        gitVersion?: string;
      }; // what every API server answers
    } catch (error) {
      failure = error; // our own version is told all the same
    }
  }
  const all = { clientVersion: mine, ...(server && { serverVersion: server }) };
  if (given.output === "json") await context.out(`${goJSON(all, 2)}\n`);
  else if (given.output === "yaml") await context.out(toYAML(all));
  else {
    await context.out(`Client Version: ${clientVersion}\n`);
    if (server) await context.out(`Server Version: ${server.gitVersion}\n`);
  }
  if (failure !== undefined) throw failure;
  return 0;
}
