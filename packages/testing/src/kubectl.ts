import { constants } from "node:fs";
import { access, readdir, realpath } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { checkout, peerProgram } from "./checkout.ts";
import { type CommandOptions, type CommandResult, run } from "./command.ts";

/** A genuine kubectl. */
export interface Kubectl {
  /** Such as "1.33". */
  version: string;
  minor: number;
  path: string;
}

let found: Promise<Kubectl[]> | undefined;

/**
 * Every genuine kubectl of this machine, oldest first: Debian's 1.20, which scripts/install.sh unpacks, and whatever
 * lies beside the one on PATH, as Google's SDK has `kubectl.1.27` and so on. One of each minor version.
 */
export function kubectls(): Promise<Kubectl[]> {
  found ??= findKubectls();
  return found;
}

/** The newest kubectl there is, for tests in which the version is beside the point. */
export async function newestKubectl(): Promise<Kubectl> {
  const newest = (await kubectls()).at(-1);
  if (!newest) throw new Error("no kubectl found: scripts/install.sh peers brings Debian's");
  return newest;
}

async function findKubectls(): Promise<Kubectl[]> {
  const debian = peerProgram("kubernetes-client", "usr/bin/kubectl");
  const candidates = [debian, ...(await beside())];
  const known = await Promise.all(candidates.map(identifyKubectl));
  const byMinor = new Map<number, Kubectl>();
  for (const kubectl of known) if (kubectl && !byMinor.has(kubectl.minor)) byMinor.set(kubectl.minor, kubectl);
  return [...byMinor.values()].sort((a, b) => a.minor - b.minor);
}

/** All kubectls in the real folder of each kubectl on PATH. Our own node_modules/.bin is none. */
async function beside(): Promise<string[]> {
  const paths: string[] = [];
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = await realpath(join(folder, "kubectl")).catch(() => undefined);
    if (!path || path.startsWith(`${checkout}/`)) continue;
    const names = (await readdir(dirname(path))).filter((name) => /^kubectl(\.\d+\.\d+)?$/.test(name)).sort();
    for (const name of names) paths.push(join(dirname(path), name));
  }
  return paths;
}

async function identifyKubectl(path: string): Promise<Kubectl | undefined> {
  const there = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!there) return undefined;
  const { code, stdout } = await run([path, "version", "--client", "-o", "json"]);
  const version = /"gitVersion":\s*"v(1)\.(\d+)/.exec(stdout);
  if (code !== 0 || !version) return undefined;
  return { version: `${version[1]}.${version[2]}`, minor: Number(version[2]), path };
}

export interface KubectlOptions extends CommandOptions {
  /** Path of the kubeconfig. */
  kubeconfig: string;
  /** Network namespace to run in. */
  netns?: string | undefined;
}

/** The command line of a kubectl for a cluster; `netns` puts it into a network namespace. */
export function kubectlCommand(
  kubectl: Kubectl,
  args: string[],
  { kubeconfig, netns }: Pick<KubectlOptions, "kubeconfig" | "netns">,
): string[] {
  const command = [kubectl.path, `--kubeconfig=${kubeconfig}`, ...args];
  return netns ? ["nsenter", `--net=/run/netns/${netns}`, "--", ...command] : command;
}

/** Runs a kubectl to its end. */
export function runKubectl(kubectl: Kubectl, args: string[], options: KubectlOptions): Promise<CommandResult> {
  // Its caches of discovery answers are kept below HOME, by host and port: another cluster's must not be found there.
  const env = { HOME: dirname(options.kubeconfig), KUBECONFIG: "", ...options.env };
  return run(kubectlCommand(kubectl, args, options), { ...options, env });
}
