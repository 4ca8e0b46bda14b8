import type { ContainerStatusRequest, ContainerStatusResponseSchema, MessageInitShape } from "@hawser/cri";
import type { Context } from "../context.ts";
import { describeContainerStatus } from "./describe.ts";

/** CRI ContainerStatus. Throws NotFound. Verbose: `info` is JSON with pids, paths and the OCI runtime. */
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
  const info = {
    sandboxID: record.sandboxId,
    pid: record.state === "exited" ? 0 : record.init.pid,
    conmonPid: record.conmon.pid,
    ociRuntime: { name: oci.name, version: oci.version, root: oci.root },
    bundle: containers.directoryOf(record.id),
    cgroup: record.cgroupPath,
    stopSignal: record.stopSignal,
    config: { args: record.process.args, cwd: record.process.cwd, user: record.process.user },
  };
  return { ...answer, info: { info: JSON.stringify(info) } };
}
