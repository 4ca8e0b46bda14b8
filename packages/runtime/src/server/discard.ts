import { stat } from "node:fs/promises";
import path from "node:path";
import { removeTree } from "@hawser/files";
import type { Logger } from "@hawser/trace";
import { moveAside } from "../aside.ts";
import { removeConmonGroup } from "../cgroup/conmon-group.ts";
import { cgroupBelow, fromOCICgroupsPath } from "../cgroup/parent.ts";
import type { Context } from "../context.ts";
import { endCgroup, endPodCgroup, endWorkers } from "../half-made.ts";
import { unmount } from "../native/mount.ts";
import { type Connection, disconnect } from "../network/connect.ts";
import { removeConmonFiles } from "../oci/conmon.ts";
import { call, ownerOf } from "../oci/runtime.ts";
import { readJSON, writeJSON } from "../store/json-file.ts";
import { unmountShm } from "./sandbox-files.ts";

/** What has to be known of a sandbox to take it away before it has a record. */
export interface SandboxDraft {
  cgroupParent: string;
  ownsCgroup: boolean;
  madeAbove?: string[];
  /** Absent with the node's network. */
  connection?: Connection | undefined;
}

/** On disk before anything else of a sandbox is made. */
export async function writeDraft(directory: string, draft: SandboxDraft): Promise<void> {
  await writeJSON(path.join(directory, "draft.json"), draft);
}

/**
 * Takes away whatever there is of a sandbox but its directory: when it could not be made, or a crash has left it half-made.
 * True when nothing is left. Never throws, so that it hides no other error; what cannot be done is logged.
 */
export async function discardSandbox(
  dependencies: Pick<Context, "reaper" | "oci" | "network" | "cgroupMode" | "podCgroups" | "log">,
  { id, directory }: { id: string; directory: string },
): Promise<boolean> {
  const { network, cgroupMode, log } = dependencies;
  const reading = readJSON<SandboxDraft>(path.join(directory, "draft.json"));
  const draft = await reading.catch(() => undefined);
  const steps = [
    () => reading, // what cannot be read now is not nothing
    () => endWorkers(id),
    () => deleteIfAny(dependencies, id),
    draft && (() => endCgroup(cgroupMode, cgroupBelow(draft.cgroupParent, id))),
    draft && (() => leavePodCgroup(dependencies, { id, ...draft })),
    draft?.connection && connectionEnds(network, id, draft.connection),
    () => unmountShm(directory),
  ];
  return await allOf({ log, what: "a sandbox", id }, steps);
}

/** discardSandbox(), and then its directory. */
export async function discardSandboxWhole(
  dependencies: Parameters<typeof discardSandbox>[0],
  { id, directory }: { id: string; directory: string },
): Promise<boolean> {
  if (!(await discardSandbox(dependencies, { id, directory }))) return false;
  return await allOf({ log: dependencies.log, what: "a sandbox", id }, [() => removeTree(directory)]);
}

async function leavePodCgroup(
  dependencies: Pick<Context, "reaper" | "cgroupMode" | "podCgroups">,
  sandbox: SandboxDraft & { id: string },
): Promise<void> {
  await dependencies.podCgroups.leave(sandbox, async (last) => {
    if (last) await endPodCgroup(dependencies, sandbox, { last });
  });
}

function connectionEnds(network: Context["network"], id: string, connection: Connection) {
  return () => disconnect(network, path.join(network.netnsDir, id), connection);
}

/**
 * discardSandbox() for a container. Its directory goes too, unless something is left; what is worth keeping of it goes to
 * `aside` if that is given. True when nothing is left.
 */
export async function discardContainer(
  dependencies: Pick<Context, "reaper" | "oci" | "images" | "paths" | "groups" | "cgroupMode" | "log">,
  { id, directory, aside }: { id: string; directory: string; aside?: string },
): Promise<boolean> {
  const { images, paths, groups, cgroupMode, log } = dependencies;
  const reading = cgroupOf(directory);
  const { cgroup, parent } = (await reading.catch(() => undefined)) ?? {};
  const steps = [
    () => reading,
    () => endWorkers(id),
    () => deleteIfAny(dependencies, id),
    cgroup && (() => endCgroup(cgroupMode, cgroup)),
    () => groups.forget(id),
    aside && (() => setAside(directory, aside)),
    () => images.releaseRootfs(id),
    () => removeConmonFiles({ exitDir: paths.exits, socketDir: paths.sockets }, id),
    parent && (() => removeConmonGroup(cgroupMode, { cgroupParent: parent, containerId: id })),
  ];
  const clean = await allOf({ log, what: "a container", id }, steps);
  return clean && (await allOf({ log, what: "a container", id }, [() => removeTree(directory)]));
}

async function setAside(directory: string, place: string): Promise<void> {
  await unmount(path.join(directory, "rootfs"));
  await moveAside(directory, place);
}

/** The OCI runtime's `delete --force`, where it has anything of this id. */
export async function deleteIfAny(dependencies: Pick<Context, "reaper" | "oci">, id: string): Promise<void> {
  const owner = await ownerOf(dependencies.oci, id);
  const state = await stat(path.join(owner.root, id)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (state) await call(dependencies, "delete", ["--force", id]);
}

/** Where the OCI runtime was told to put a container; undefined before it was told anything. */
async function cgroupOf(bundle: string): Promise<{ parent: string; cgroup: string } | undefined> {
  // Undefined when it is not written, or not to its end: then nothing was started from it.
  const spec = await readJSON<{ linux?: { cgroupsPath?: unknown } } | null>(path.join(bundle, "config.json"));
  const cgroup = spec?.linux?.cgroupsPath;
  return typeof cgroup === "string" && cgroup ? fromOCICgroupsPath(cgroup) : undefined;
}

type Step = (() => unknown) | undefined | false | "";

/** Every step, whatever becomes of the others. True when none has failed. */
async function allOf({ log, what, id }: { log: Logger; what: string; id: string }, steps: Step[]): Promise<boolean> {
  let clean = true;
  for (const step of steps) {
    if (!step) continue;
    try {
      await step();
    } catch (error) {
      clean = false;
      log.warn(`cannot take all of ${what} away; it is tried again`, { id, error });
    }
  }
  return clean;
}
