import { CgroupDriver, type MessageInitShape, type RuntimeConfigResponseSchema } from "@hawser/cri";

/** CRI RuntimeConfig: we make cgroups by the file system, so the kubelet has to as well. */
export async function runtimeConfig(): Promise<MessageInitShape<typeof RuntimeConfigResponseSchema>> {
  return { linux: { cgroupDriver: CgroupDriver.CGROUPFS } };
}
