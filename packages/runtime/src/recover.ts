import { moveAside, placeAside } from "./aside.ts";
import type { Context } from "./context.ts";
import { isAlive } from "./native/process-id.ts";
import { isWaiting } from "./oci/runtime.ts";
import { endContainer } from "./server/container-end.ts";
import { discardContainer, discardSandboxWhole } from "./server/discard.ts";
import type { Exits } from "./store/exits.ts";
import type { Monitors } from "./store/monitors.ts";
import type { Leavings } from "./store/store.ts";

type Dependencies = Omit<Context, "streaming"> & { exits: Exits; monitors: Monitors };

/** How long a conmon may take to leave the exit code of a container whose process is gone, milliseconds. */
const exitPatience = 2000;

/**
 * Finds what an earlier runtime has left: sandboxes and containers that live on, ends that fell in between,
 * and half-made things of a crash, which are removed. State that cannot be understood is set aside, what it was of ended.
 */
export async function recover(dependencies: Dependencies): Promise<void> {
  const { sandboxes, containers, exits, log } = dependencies;
  const pods = await sandboxes.load();
  await removeContainers(dependencies, await containers.load());

  await exits.start();
  for (const { id } of containers.list()) await recoverContainer(dependencies, id);
  await removeSandboxes(dependencies, pods); // those of lost sandboxes have been ended
  for (const { id } of sandboxes.list()) await dependencies.pauses.look(id);
  const [podCount, count] = [sandboxes.list().length, containers.list().length];
  if (podCount + count > 0) log.info("found what was left", { sandboxes: podCount, containers: count });
}

async function recoverContainer(dependencies: Dependencies, id: string): Promise<void> {
  const { containers, sandboxes, images, exits, monitors, log } = dependencies;
  const record = containers.get(id);
  if (record.state === "exited") return;
  if (!sandboxes.find(record.sandboxId)) {
    log.error("a container's sandbox is unknown: the container is ended", { id, sandbox: record.sandboxId });
    await endContainer({ exits }, record, 0).catch((error: unknown) => log.error("it does not end", { id, error }));
    return;
  }
  await images.prepareRootfs({ imageId: record.imageId, containerId: id }).catch((error: unknown) => {
    log.warn("cannot mount a container's root filesystem again", { id, error });
  });
  if (await isAlive(record.init)) await confirmStarted(dependencies, id);
  else if (await isAlive(record.conmon)) await exits.wait(id, exitPatience);
  await monitors.settle(id);
}

/** A container that was started while its record was not yet written. */
async function confirmStarted({ containers, oci, now }: Dependencies, id: string): Promise<void> {
  if (containers.get(id).state !== "created" || (await isWaiting(oci, id))) return;
  await containers.note(id, (record) => ({ ...record, state: "running", startedAt: String(now()) }));
}

async function removeContainers(dependencies: Dependencies, { halfMade, corrupt }: Leavings): Promise<void> {
  const { containers, paths, log } = dependencies;
  for (const id of halfMade) {
    log.info("removing a half-made container", { id });
    const takeAway = () => discardContainer(dependencies, { id, directory: containers.directoryOf(id) });
    if (!(await takeAway())) dependencies.leftovers.add(id, takeAway);
  }
  for (const { id, reason } of corrupt) {
    const aside = await placeAside(paths.corrupt, `container-${id}`);
    log.error("a container's state cannot be understood: it is ended, and set aside", { id, reason, aside });
    await discardContainer(dependencies, { id, directory: containers.directoryOf(id), aside });
  }
}

async function removeSandboxes(dependencies: Dependencies, { halfMade, corrupt }: Leavings): Promise<void> {
  const { sandboxes, paths, log } = dependencies;
  for (const { id, reason } of corrupt) {
    const aside = await placeAside(paths.corrupt, `sandbox-${id}`);
    log.error("a sandbox' state cannot be understood: it is ended, and set aside", { id, reason, aside });
    await moveAside(sandboxes.directoryOf(id), aside);
    halfMade.push(id);
  }
  for (const id of halfMade) {
    const directory = sandboxes.directoryOf(id);
    log.info("removing what there is of a sandbox", { id });
    const takeAway = () => discardSandboxWhole(dependencies, { id, directory });
    if (!(await takeAway())) dependencies.leftovers.add(id, takeAway);
  }
}
