import { glob, readFile } from "node:fs/promises";
import path from "node:path";
import { cgroupMode } from "../../../packages/runtime/src/oci/probe.ts";

/** Does this machine have cgroup v2 alone? */
export const unified = (await cgroupMode()) === "v2";

/** A container's cgroup, in the hierarchy of `controller` on v1. Throws when there is none. */
export async function cgroupOf(containerId: string, controller: string): Promise<string> {
  const hierarchy = unified ? "" : `${controller}/`;
  for await (const found of glob(`/sys/fs/cgroup/${hierarchy}**/${containerId}`)) return found;
  throw new Error(`the container has no ${controller} cgroup`);
}

/** What a file of a container's cgroup says; `v1` is CONTROLLER/FILE. */
export async function cgroupFile(containerId: string, { v1, v2 }: { v1: string; v2: string }): Promise<string> {
  const [controller = "", file = ""] = v1.split("/");
  const directory = await cgroupOf(containerId, controller);
  return (await readFile(path.join(directory, unified ? v2 : file), "utf8")).trim();
}
