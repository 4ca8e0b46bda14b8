import path from "node:path";
import type { ContainerStatusRequest, ContainerStatusResponseSchema, MessageInitShape } from "@hawser/cri";
import type { Context } from "../context.ts";
import { ownerOf } from "../oci/runtime.ts";
import type { Spec } from "../oci/types.ts";
import { readJSON } from "../store/json-file.ts";
import { describeContainerStatus } from "./describe.ts";

/** CRI ContainerStatus. Throws NotFound. Verbose: `info` is JSON with pids, paths, the OCI runtime and its spec. */
export async function containerStatus(
  { containers, oci, images }: Pick<Context, "containers" | "oci" | "images">,
  { containerId, verbose }: ContainerStatusRequest,
): Promise<MessageInitShape<typeof ContainerStatusResponseSchema>> {
  const record = containers.get(containerId);
  const status = describeContainerStatus(record);
  // The name an image has now, as people know it; the request may have given an id.
  const name = images.status(record.imageId)?.repoTags[0] ?? record.image.image;
  const answer = { status: { ...status, image: { ...status.image, image: name } } };
  if (!verbose) return answer;
  const { name: runtime, version, root } = await ownerOf(oci, record.id);
  const info = {
    sandboxID: record.sandboxId,
    pid: record.state === "exited" ? 0 : record.init.pid,
    conmonPid: record.conmon.pid,
    ociRuntime: { name: runtime, version, root },
    bundle: containers.directoryOf(record.id),
    cgroup: record.cgroupPath,
    stopSignal: record.stopSignal,
    runtimeSpec: await readJSON<Spec>(path.join(containers.directoryOf(record.id), "config.json")),
    config: { args: record.process.args, cwd: record.process.cwd, user: record.process.user },
  };
  return { ...answer, info: { info: JSON.stringify(info) } };
}
