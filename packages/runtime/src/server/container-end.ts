import { constants } from "node:os";
import { ContainerEventType } from "@hawser/cri";
import type { Context } from "../context.ts";
import { isAlive, signalProcess } from "../native/process-id.ts";
import { wasOOMKilled } from "../oci/conmon.ts";
import { call } from "../oci/runtime.ts";
import type { Exit, Exits } from "../store/exits.ts";
import type { ContainerRecord } from "../store/records.ts";

/** How long a killed container may take to be gone, milliseconds. */
const killPatience = 10_000;

type RecordDependencies = Pick<Context, "containers" | "reaper" | "oci" | "groups" | "events" | "log">;

/**
 * Records a container's end, and gives its cgroups and the OCI runtime's state back. False when there is no such container:
 * one that ends while it is created has no record yet.
 */
export async function recordExit(dependencies: RecordDependencies, id: string, exit: Exit): Promise<boolean> {
  const { exitCode, at, message = "" } = exit;
  const { containers, groups, events, log } = dependencies;
  const known = containers.find(id);
  if (!known) return false;
  if (known.state === "exited") return true;
  const oom = await wasOOMKilled(containers.directoryOf(id));
  const reason = oom ? "OOMKilled" : (exit.reason ?? (exitCode === 0 ? "Completed" : "Error"));
  await containers.note(id, (record) => ({
    ...record,
    state: "exited",
    exitCode,
    finishedAt: String(at),
    reason,
    message,
  }));
  log.at(2, "container has ended", { id, exitCode, oom });
  events.emit(id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  await call(dependencies, "delete", ["--force", id]).catch((error: unknown) => {
    log.warn("cannot delete an ended container", { id, error });
  });
  await groups.forget(id);
  return true;
}

/**
 * Ends a container: its stop signal, then SIGKILL after `graceMs`. Resolves when its end is recorded.
 * One that does not run is left alone.
 */
export async function endContainer(
  { exits, signal }: { exits: Exits; signal?: AbortSignal | undefined },
  { id, state, init, conmon, stopSignal }: ContainerRecord,
  graceMs: number,
): Promise<void> {
  if (state === "exited") return;
  await exits.look(id);
  if (graceMs > 0) {
    const alive = await signalProcess(init, stopSignal);
    if (await exits.wait(id, alive ? graceMs : killPatience, signal)) return;
    signal?.throwIfAborted();
  }
  await signalProcess(init, constants.signals.SIGKILL);
  if (await exits.wait(id, killPatience)) return;
  // The process is gone, and its conmon does not say so: without it, the end is recorded as one that nobody has seen.
  if (!(await isAlive(init)) && (await signalProcess(conmon, constants.signals.SIGKILL))) {
    if (await exits.wait(id, killPatience)) return;
  }
  throw new Error(`container "${id}" does not end`);
}
