import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { removeTree as removeFiles } from "@hawser/files";
import { removeAbove } from "./cgroup/above.ts";
import { defaultCgroupRoot, isSlice } from "./cgroup/parent.ts";
import { hierarchies, removeCgroup } from "./cgroup/paths.ts";
import { stopSlice } from "./cgroup/systemd.ts";
import { pidsBelow, removeTree } from "./cgroup/tree.ts";
import { exists } from "./exists.ts";
import { endWorkers, processes } from "./half-made.ts";
import { killUntilGone } from "./native/kill.ts";
import { lockFile } from "./native/lock.ts";
import { mountsBelow, unmount } from "./native/mount.ts";
import { Reaper } from "./native/reaper.ts";
import { killQuietly } from "./native/spawn.ts";
import { type Connection, connectionOfRecord, disconnect } from "./network/connect.ts";
import { removeBridge, removeRules } from "./network/rules.ts";
import { podOfNamespace } from "./network/userns.ts";
import { starterMark } from "./oci/exec-program.ts";
import { type CgroupMode, cgroupMode } from "./oci/probe.ts";
import { unifiedMount } from "./oci/view.ts";
import { type Paths, pathsOf } from "./paths.ts";
import type { SandboxDraft } from "./server/discard.ts";
import { lockState, removeState } from "./state-dir.ts";
import { readJSON, writeJSON } from "./store/json-file.ts";
import type { SandboxRecord } from "./store/records.ts";

/** How long a CNI plugin, and a command for the node's rules, may take, milliseconds. */
const pluginTimeout = 60_000;

/** What startRuntime has noted of a root. */
export interface Places {
  stateDir: string;
  /** The topmost directory that had to be made for it: see makeStateDir. */
  stateMade?: string | undefined;
  bridge: string;
  podCIDR: string;
  cniBinDir: string;
  cgroupMode?: CgroupMode;
  /** Pods whose host ports removeEverything could not give back. */
  left?: Connection[] | undefined;
}

/**
 * All that a runtime of a root has made is removed, but for some of the network. The message says what; another call of
 * removeEverything tries that again.
 */
export class NetworkRemainsError extends AggregateError {
  override readonly name = "NetworkRemainsError";
}

/**
 * Removes all that a runtime of this root has made on the node, also after a crash: processes, the OCI runtime's state,
 * network, bridge, rules, mounts and cgroups. Sandboxes and containers are forgotten; images stay. Idempotent.
 * Throws when a live runtime has the root, or the state directory. What of the network cannot be given back keeps nothing else
 * from being removed: it is told at the end, by a NetworkRemainsError, and another call tries it again.
 */
export async function removeEverything(root: string): Promise<void> {
  const places = await readJSON<Places>(pathsOf(root, "").places);
  if (!places) return; // no runtime was ever started here, or all is removed
  const paths = pathsOf(root, places.stateDir);
  await using _lock = await lockFile(paths.lock, `runtime root ${paths.root}`);
  await using _state = await lockState(paths).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error; // a reboot has emptied /run
    return undefined;
  });
  using reaper = new Reaper();
  const mode = await cgroupMode();
  const records = await sandboxRecords(paths);
  const drafts = await sandboxDrafts(paths);
  const sandboxes = [...records.values(), ...drafts.values()];
  const cgroups = cgroupsOf(paths, sandboxes);

  // Of what is half-made, they would make more.
  await endWorkers(starterMark(paths));
  for (const id of await names(paths.sandboxes)) if (!records.has(id)) await endWorkers(id);
  for (const id of await names(paths.containers)) {
    if (!(await exists(path.join(paths.containers, id, "state.json")))) await endWorkers(id);
  }
  await killAll(mode, paths, cgroups);
  const network = {
    cni: { reaper, binDir: places.cniBinDir, timeoutMs: pluginTimeout },
    name: places.bridge,
    podCIDR: places.podCIDR,
    ipamDir: paths.ipam,
    netnsDir: paths.netns,
    ready: async () => {},
  };
  const failures: Error[] = [];
  const failed = (what: string) => (cause: unknown) => {
    failures.push(new Error(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause }));
  };
  const left: Connection[] = [];
  // A pod's users go with its network.
  for (const connection of connectionsOf(await names(paths.netns), { records, drafts, left: places.left })) {
    const netns = path.join(paths.netns, connection.id);
    await disconnect(network, netns, connection, { byHand: true }).catch((error: unknown) => {
      failed(nameOf(connection))(error);
      left.push(connection);
    });
  }
  const commands = { reaper, timeoutMs: pluginTimeout };
  const rules = { hash: paths.hash, bridge: places.bridge, podCIDR: places.podCIDR };
  await removeRules(commands, rules).catch(failed("iptables' rules of the pods' network"));
  await removeBridge(commands, places.bridge).catch(failed(`bridge ${places.bridge}`));
  for (const directory of execGroups(paths)) await removeTree(directory);
  for (const directory of [paths.containers, paths.sandboxes]) {
    for (const target of await mountsBelow(directory)) await unmount(target);
  }
  for (const cgroup of cgroups) {
    await removeCgroup(mode, cgroup);
    if (isSlice(cgroup)) await stopSlice({ reaper }, cgroup);
  }
  for (const { cgroupParent, madeAbove = [] } of sandboxes) {
    await removeAbove(mode, path.posix.join(cgroupParent, "pod"), { made: madeAbove }); // the parent too
  }
  for (const directory of [paths.sandboxes, paths.containers, paths.pauseRoot]) {
    // One by one: what is moved meanwhile stays within its own, whose name a runtime knows.
    for (const name of await names(directory)) await removeFiles(path.join(directory, name));
    await removeFiles(directory);
  }
  await removeState(paths, places.stateMade);
  if (failures.length > 0) {
    await writeJSON(paths.places, { ...places, left } satisfies Places);
    throw new NetworkRemainsError(
      failures,
      `all is removed but ${failures.map(({ message }) => message).join("; and ")}`,
    );
  }
  await rm(paths.places, { force: true });
}

/** Of whatever has a network, and of what an earlier call could not give back. */
function connectionsOf(
  namespaces: string[],
  known: { records: Map<string, SandboxRecord>; drafts: Map<string, SandboxDraft>; left?: Connection[] | undefined },
): Connection[] {
  const found = new Map((known.left ?? []).map((connection) => [connection.id, connection]));
  // What others keep of a pod outlives its namespace, also a reboot.
  for (const record of known.records.values()) {
    if (record.network?.membership && !record.released) found.set(record.id, connectionOfRecord(record));
  }
  for (const [id, { connection }] of known.drafts) {
    if (connection?.membership && !known.records.has(id)) found.set(id, connection);
  }
  for (const id of namespaces.map(podOfNamespace)) {
    const record = known.records.get(id);
    const connection = known.drafts.get(id)?.connection ?? (record && connectionOfRecord(record));
    found.set(id, connection ?? { id, podName: "", podNamespace: "", podUID: "", portMappings: [] });
  }
  return [...found.values()];
}

/** Of its network, what is left when nothing else is: addresses go with the state directory. */
function nameOf({ id, podName, podNamespace, portMappings, membership }: Connection): string {
  const whose = podName ? `pod ${podNamespace}/${podName}` : `sandbox ${id}`;
  if (membership) return `network ${membership.list.name} of ${whose}`;
  const ports = portMappings.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`);
  return ports.length > 0 ? `host ports ${ports.join(", ")} of ${whose}` : `the network of ${whose}`;
}

function sandboxRecords(paths: Paths): Promise<Map<string, SandboxRecord>> {
  return ofSandboxes<SandboxRecord>(paths, "state.json");
}

/** What was known of sandboxes before they were made: the runtime may have been killed in the midst of it. */
function sandboxDrafts(paths: Paths): Promise<Map<string, SandboxDraft>> {
  return ofSandboxes<SandboxDraft>(paths, "draft.json");
}

async function ofSandboxes<T>(paths: Paths, file: string): Promise<Map<string, T>> {
  const found = new Map<string, T>();
  for (const id of await names(paths.sandboxes)) {
    const content = await readJSON<T>(path.join(paths.sandboxes, id, file));
    if (content !== undefined) found.set(id, content);
  }
  return found;
}

function cgroupsOf(paths: Paths, sandboxes: Pick<SandboxDraft, "cgroupParent" | "ownsCgroup">[]): string[] {
  const parents = sandboxes.filter(({ ownsCgroup }) => ownsCgroup).map(({ cgroupParent }) => cgroupParent);
  const roots = (["cgroupfs", "systemd"] as const).map((driver) => defaultCgroupRoot(paths.hash, driver));
  return [...new Set([...parents, ...roots])];
}

/** Where execs may have their own cgroups: the OCI runtime's process of an exec is in no other of ours. */
function execGroups({ hash, cgroup2 }: Paths): string[] {
  return [unifiedMount, cgroup2].map((mounted) => path.join(mounted, `hawser-${hash}`));
}

/** conmon first, so that no end is recorded any more; then whatever is in the pods' cgroups. */
async function killAll(mode: CgroupMode, paths: Paths, cgroups: string[]): Promise<void> {
  const conmons = (await processes()).filter(
    ({ args }) => args[0]?.endsWith("conmon") && args.some((arg) => arg.startsWith(`${paths.containers}/`)),
  );
  for (const { pid } of conmons) killQuietly(pid, "SIGKILL");
  const pods = (await hierarchies(mode)).flatMap((hierarchy) => cgroups.map((cgroup) => path.join(hierarchy, cgroup)));
  const directories = [...pods, ...execGroups(paths)];
  await killUntilGone(async () => (await Promise.all(directories.map(pidsBelow))).flat());
}

async function names(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}
