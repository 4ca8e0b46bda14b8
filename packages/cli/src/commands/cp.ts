import type { Pod } from "@hawser/api";
import type { CopyOptions } from "@hawser/client";
import { chooseContainer } from "../cluster/containers.ts";
import { type Context, command } from "../command.ts";
import { CommandError, ExitError, UsageError } from "../errors.ts";
import { integer, toggle } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { progressBar } from "../progress-bar.ts";
import { toldWhereItBroke } from "./broken-session.ts";
import { containerFlag, isCompleted, peerTimeoutFlag } from "./stream-flags.ts";
import { transportsOf } from "./transports.ts";

const flags = {
  container: containerFlag,
  "no-preserve": toggle({
    usage: "The copied file/directory's ownership, permissions and times will not be preserved",
  }),
  retries: integer({
    usage:
      "Set number of retries to complete a copy operation whose connection is lost. Specify 0 to disable or any negative value for infinite retrying. The default is 0 (no retry).",
  }),
  "stream-peer-timeout": peerTimeoutFlag,
};

/** Source: kubernetes/kubectl pkg/cmd/cp/cp.go */
export const cp = command({
  name: "cp",
  use: "cp <file-spec-src> <file-spec-dest>",
  short: "Copy files and directories to and from containers",
  long: `Copy files and directories to and from containers.

What is copied keeps its permissions, times, links and holes. A container needs a tar for it, unless its node runs
Hawser's runtime.`,
  examples: `# Copy /tmp/foo to /tmp/bar in the pod mypod, or into it where it is a directory
hawser cp /tmp/foo mypod:/tmp/bar

# Copy the directory /etc/nginx of the container web to ./nginx
hawser cp -c web mypod:/etc/nginx nginx

# The same from another namespace, going on after up to 10 lost connections
hawser cp --retries=10 other/mypod:/etc/nginx nginx`,
  flags,
  notes: `Exit codes:
  0, 1 for an error of ours, tar's where tar has failed, 255 when the session broke off.`,
  run: runCopy,
});

interface FileSpec {
  namespace?: string | undefined;
  pod?: string | undefined;
  path: string;
}

async function runCopy(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  const [first, second, ...more] = args;
  if (first === undefined || second === undefined || more.length > 0) {
    throw new UsageError("source and destination are required");
  }
  const [from, to] = [readSpec(first), readSpec(second)];
  if (from.pod !== undefined && to.pod !== undefined) {
    throw new CommandError("one of src or dest must be a local file specification");
  }
  if (from.path === "" || to.path === "") throw new CommandError("filepath can not be empty");
  const remote = from.pod !== undefined ? from : to;
  if (remote.pod === undefined) throw new CommandError("one of src or dest must be a remote file specification");
  const name = remote.pod;

  const client = await context.client();
  const namespace = remote.namespace ?? (await context.namespace()).namespace;
  const { io, signal } = context;
  const pod = await client.get<Pod>({ resource: "pods", namespace, name }, { signal });
  if (isCompleted(pod)) {
    throw new CommandError(`cannot exec into a container in a completed pod; current phase is ${pod.status?.phase}`);
  }
  const container = given.container || chooseContainer(pod, "", context.warn).name;

  using bar = progressBar(io.stderr);
  const say = (line: string) => {
    bar.clear();
    context.warn(line);
  };
  const options: CopyOptions = {
    namespace,
    pod: name,
    container,
    preserve: !given["no-preserve"],
    retries: given.retries,
    signal,
    peerTimeoutMs: given["stream-peer-timeout"],
    ...transportsOf(io.env, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"),
    onWarning: say,
    onRetry: ({ offset, attempt, retries }) => say(`Resuming copy at ${offset} bytes, retry ${attempt}/${retries}`),
    ...(io.stderr.isTTY && { onProgress: bar.show }),
  };
  const { copyFrom, copyTo, CopyError } = await import("@hawser/client");
  try {
    const copied =
      from === remote
        ? copyFrom(client, { ...options, path: from.path, to: to.path })
        : copyTo(client, { ...options, from: from.path, path: to.path });
    await toldWhereItBroke<unknown>(copied, { client, pod });
  } catch (error) {
    bar.clear();
    if (!(error instanceof CopyError) || error.exitCode === undefined) throw error;
    throw new ExitError(error.message, { exitCode: error.exitCode, cause: error });
  }
  return 0;
}

/** `[[namespace/]pod:]path`. What begins like a path is one, colon or not: no pod has such a name. */
function readSpec(text: string): FileSpec {
  const colon = text.indexOf(":");
  if (colon < 0 || /^\.{0,2}\//.test(text)) return { path: text };
  const [first = "", second, ...more] = text.slice(0, colon).split("/");
  if (colon === 0 || more.length > 0) {
    throw new CommandError("filespec must match the canonical format: [[namespace/]pod:]file/path");
  }
  const path = text.slice(colon + 1);
  return second === undefined ? { pod: first, path } : { namespace: first || undefined, pod: second, path };
}
