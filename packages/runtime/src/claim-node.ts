import { needBooted, reachSystemd } from "./cgroup/systemd.ts";
import type { Context } from "./context.ts";
import { takeDirectories } from "./directories.ts";
import { becomeSubreaper, Reaper } from "./native/reaper.ts";
import { refuseNested } from "./nested.ts";
import { claimPodCIDR } from "./network/claim.ts";
import { needProgram, cgroupMode as readCgroupMode } from "./oci/probe.ts";
import type { Places } from "./remove-everything.ts";
import { keepJSON, readJSON } from "./store/json-file.ts";

/** What a runtime has to itself on the node, and what it needs there. */
export type ClaimedNode = Pick<Context, "reaper" | "cgroupMode" | "conmonPath"> & {
  /** Path of the pause program. */
  pauseProgram: string;
  /** Of the CNI network and of its bridge. */
  bridge: string;
};

/**
 * Takes the root, the state directory and the pods' addresses, and notes for removeEverything where things will be; `started`
 * gives them back. Throws when somebody has one of them, one lies in another runtime's, or a program is missing: then nothing is
 * left of the state directory.
 */
export async function claimNode(
  { config, paths, log }: Pick<Context, "config" | "paths" | "log">,
  started: AsyncDisposableStack,
): Promise<ClaimedNode> {
  const { cgroupDriver, podCIDR, cniBinDir, cniConfDir } = config;
  const { root, stateDir, hash } = paths;
  if (cgroupDriver === "systemd") await needBooted();
  await refuseNested(paths);
  const directories = started.use(await takeDirectories(paths));
  becomeSubreaper();
  const reaper = started.use(new Reaper());
  const [cgroupMode, conmonPath, pauseProgram] = await Promise.all([
    readCgroupMode(),
    needProgram(config.conmonProgram, "conmon"),
    needProgram(config.pauseProgram, "catatonit"),
  ]);
  if (cgroupDriver === "systemd") {
    log.info("cgroups are made by systemd", { version: await reachSystemd({ reaper }) });
  }
  const bridge = `hawser${hash}`;
  started.use(await claimPodCIDR({ root, stateDir, bridge, podCIDR: cniConfDir ? undefined : podCIDR }));
  await refuseNested(paths); // of two that start at once, one at least has seen the other
  const before = await readJSON<Places>(paths.places);
  const stateMade = directories.stateMade ?? (before?.stateDir === stateDir ? before.stateMade : undefined);
  const left = before?.left; // of what an earlier removal could not remove: the next one tries again
  await keepJSON(paths.places, { stateDir, stateMade, bridge, podCIDR, cniBinDir, cgroupMode, left } satisfies Places);
  directories.keep();
  return { reaper, cgroupMode, conmonPath, pauseProgram, bridge };
}
