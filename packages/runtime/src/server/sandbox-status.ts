import path from "node:path";
import type { MessageInitShape, PodSandboxStatusRequest, PodSandboxStatusResponseSchema } from "@hawser/cri";
import type { Context } from "../context.ts";
import { ownerOf } from "../oci/runtime.ts";
import type { Spec } from "../oci/types.ts";
import { readJSON } from "../store/json-file.ts";
import { describeContainerStatus, describeSandboxStatus } from "./describe.ts";

/** CRI PodSandboxStatus, with the statuses of its containers. Throws NotFound. Verbose: `info` is JSON. */
export async function podSandboxStatus(
  { sandboxes, containers, oci, now }: Pick<Context, "sandboxes" | "containers" | "oci" | "now">,
  { podSandboxId, verbose }: PodSandboxStatusRequest,
): Promise<MessageInitShape<typeof PodSandboxStatusResponseSchema>> {
  const record = sandboxes.get(podSandboxId);
  const inside = containers.list().filter(({ sandboxId }) => sandboxId === record.id);
  const answer = {
    status: describeSandboxStatus(record),
    containersStatuses: inside.map(describeContainerStatus),
    timestamp: now(),
  };
  if (!verbose) return answer;
  const { name, version, root } = await ownerOf(oci, record.id);
  const info = {
    pid: record.state === "ready" ? record.pause?.pid : 0,
    netns: record.network?.netns ?? "",
    ociRuntime: { name, version, root },
    runtimeHandler: record.runtimeHandler,
    runtimeSpec: await readJSON<Spec>(path.join(sandboxes.directoryOf(record.id), "config.json")),
    cgroupParent: record.cgroupParent,
    portMappings: record.network?.portMappings ?? [],
    cniResult: record.network?.membership?.result, // as containerd names it; of our own network there is no more than the address
  };
  return { ...answer, info: { info: JSON.stringify(info) } };
}
