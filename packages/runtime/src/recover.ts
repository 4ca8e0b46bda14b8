import { rm, stat } from "node:fs/promises";
import type { Context } from "./context.ts";
import { halfMadeConmon } from "./half-made.ts";
import { isAlive } from "./native/process-id.ts";
import { killQuietly } from "./native/spawn.ts";
import { disconnect } from "./network/bridge.ts";
import { removeConmonFiles } from "./oci/conmon.ts";
import { call } from "./oci/runtime.ts";
import { unmountShm } from "./server/sandbox-files.ts";
import type { Exits } from "./store/exits.ts";

type Dependencies = Omit<Context, "streaming"> & { exits: Exits };

/**
 * Finds what an earlier runtime has left: sandboxes and containers that live on, ends that fell in between,
 * and half-made things of a crash, which are removed.
 */
export async function recover(dependencies: Dependencies): Promise<void> {
  const { sandboxes, containers, exits, log } = dependencies;
  const halfSandboxes = (await sandboxes.load()).halfMade;
  const halfContainers = (await containers.load()).halfMade;
  for (const id of halfContainers) await removeHalfContainer(dependencies, id);
  for (const id of halfSandboxes) await removeHalfSandbox(dependencies, id);

  await exits.start();
  for (const record of containers.list()) {
    if (record.state === "exited") continue;
    await dependencies.images
      .prepareRootfs({ imageId: record.imageId, containerId: record.id })
      .catch((error: unknown) => {
        log.warn("cannot mount a container's root filesystem again", { id: record.id, error });
      });
    if (await isAlive(record.init)) await confirmStarted(dependencies, record.id);
    else await exits.look(record.id).then(() => recordLost(dependencies, record.id));
  }
  for (const { id } of sandboxes.list()) await dependencies.pauses.look(id);
  const [pods, count] = [sandboxes.list().length, containers.list().length];
  if (pods + count > 0) log.info("found what was left", { sandboxes: pods, containers: count });
}

/** A container that was started while its record was not yet written. */
async function confirmStarted({ containers, oci, now }: Dependencies, id: string): Promise<void> {
  if (containers.get(id).state !== "created" || (await isWaiting(oci.root, id))) return;
  await containers.update(id, (record) => ({ ...record, state: "running", startedAt: String(now()) }));
}

/** A created container waits at a fifo; the start removes it. True for both OCI runtimes. */
async function isWaiting(ociRoot: string, id: string): Promise<boolean> {
  return await stat(`${ociRoot}/${id}/exec.fifo`).then(
    () => true,
    () => false,
  );
}

/** Its process is gone and its conmon left nothing: the node was restarted, or conmon killed. */
async function recordLost({ containers, now, reaper, oci, groups }: Dependencies, id: string): Promise<void> {
  if (containers.get(id).state === "exited") return;
  await containers.update(id, (record) => ({
    ...record,
    state: "exited",
    exitCode: 255,
    finishedAt: String(now()),
    reason: "Unknown",
    message: "the container ended while nobody watched: its exit code is lost",
  }));
  await call({ reaper, oci }, "delete", ["--force", id]).catch(() => undefined); // after a restart of the node there is none
  await groups.forget(id);
}

async function removeHalfContainer(dependencies: Dependencies, id: string): Promise<void> {
  const { containers, images, paths, log, groups } = dependencies;
  log.info("removing a half-made container", { id });
  const conmon = await halfMadeConmon(id);
  if (conmon !== undefined) killQuietly(conmon, "SIGKILL");
  await call(dependencies, "delete", ["--force", id]).catch(() => undefined); // it may not have come so far
  await groups.forget(id);
  await images.releaseRootfs(id);
  await removeConmonFiles({ exitDir: paths.exits, socketDir: paths.sockets }, id);
  await rm(containers.directoryOf(id), { recursive: true, force: true });
}

async function removeHalfSandbox(dependencies: Dependencies, id: string): Promise<void> {
  const { sandboxes, network, log } = dependencies;
  log.info("removing a half-made sandbox", { id });
  await call(dependencies, "delete", ["--force", id]).catch(() => undefined); // it may not have come so far
  const nobody = { id, podName: "", podNamespace: "", podUID: "", portMappings: [] };
  await disconnect(network, `${network.netnsDir}/${id}`, nobody);
  unmountShm(sandboxes.directoryOf(id));
  await rm(sandboxes.directoryOf(id), { recursive: true, force: true });
}
