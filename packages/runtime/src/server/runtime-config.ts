import { CgroupDriver, type MessageInitShape, type RuntimeConfigResponseSchema } from "@hawser/cri";
import type { Context } from "../context.ts";

/** CRI RuntimeConfig: how we make cgroups, by the file system or by systemd; the kubelet has to do as we do. */
export async function runtimeConfig({
  config,
}: Pick<Context, "config">): Promise<MessageInitShape<typeof RuntimeConfigResponseSchema>> {
  const { SYSTEMD, CGROUPFS } = CgroupDriver;
  return { linux: { cgroupDriver: config.cgroupDriver === "systemd" ? SYSTEMD : CGROUPFS } };
}
