import {
  ContainerEventType,
  type MessageInitShape,
  type StopPodSandboxRequest,
  type StopPodSandboxResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { limiter } from "../limiter.ts";
import { connectionOfRecord, disconnect } from "../network/connect.ts";
import { call } from "../oci/runtime.ts";
import type { Exits } from "../store/exits.ts";
import type { SandboxRecord } from "../store/records.ts";
import { endContainer } from "./container-end.ts";
import { unmountShm } from "./sandbox-files.ts";

/** Containers that are ended at a time: each has only so long to be gone, and its end is work for us. */
const endedAtOnce = 16;

export type StopDependencies = Pick<
  Context,
  "sandboxes" | "containers" | "network" | "reaper" | "oci" | "events" | "log"
> & { exits: Exits };

/**
 * CRI StopPodSandbox: kills its containers and its pause process, and gives the network back. Idempotent: what is
 * unknown, or stopped already, is fine. What cannot be given back keeps nothing else; it is told at the end, and tried again by
 * the next call.
 */
export async function stopPodSandbox(
  dependencies: StopDependencies,
  { podSandboxId }: Pick<StopPodSandboxRequest, "podSandboxId">,
): Promise<MessageInitShape<typeof StopPodSandboxResponseSchema>> {
  const { sandboxes } = dependencies;
  const id = sandboxes.find(podSandboxId)?.id;
  if (id === undefined) return {};
  await sandboxes.lock.run(id, async () => {
    const sandbox = sandboxes.find(id);
    if (sandbox) await stop(dependencies, sandbox);
  });
  return {};
}

async function stop(dependencies: StopDependencies, sandbox: SandboxRecord): Promise<void> {
  const { sandboxes, containers, exits, events, network } = dependencies;
  const { id } = sandbox;
  const inside = containers.list().filter(({ sandboxId }) => sandboxId === id);
  const slots = limiter(endedAtOnce);
  await Promise.all(inside.map((container) => slots(() => endContainer({ exits }, container, 0))));
  if (sandbox.released) return;
  const released = await Promise.allSettled([
    call(dependencies, "delete", ["--force", id]),
    sandbox.network ? disconnect(network, sandbox.network.netns, connectionOfRecord(sandbox)) : undefined,
  ]);
  await unmountShm(sandboxes.directoryOf(id));
  for (const part of released) if (part.status === "rejected") throw part.reason; // the next call tries all again
  const told = sandboxes.find(id)?.state === "notready"; // when its pause process went
  await sandboxes.note(id, (record) => ({ ...record, state: "notready", released: true }));
  if (!told) events.emit(id, ContainerEventType.CONTAINER_STOPPED_EVENT);
}
