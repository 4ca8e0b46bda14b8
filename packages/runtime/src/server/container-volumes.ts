import { isDeepStrictEqual } from "node:util";
import { Code, CRIError, type Mount as CRIMount } from "@hawser/cri";
import { mountMappedVolume } from "../images/mapped-mounts.ts";
import { usernsFile } from "../network/userns.ts";
import type { Mount } from "../oci/types.ts";
import type { SandboxRecord } from "../store/records.ts";
import { linesOf } from "./sandbox-users.ts";

/**
 * Puts the volumes that ask for it behind mounts with mapped owners, below `<directory>/volumes`; their sources change.
 * With the container's root they go. `mounts` are those of `requested`, in its order.
 *
 * Throws InvalidArgument for mappings that are not the pod's: no other kubelet's are known.
 */
export async function mapVolumes(
  { users, network }: Pick<SandboxRecord, "users" | "network">,
  { requested, mounts, directory }: { requested: CRIMount[]; mounts: Mount[]; directory: string },
): Promise<void> {
  for (const [index, { hostPath, uidMappings, gidMappings }] of requested.entries()) {
    const mount = mounts[index];
    if (!mount || (uidMappings.length === 0 && gidMappings.length === 0)) continue;
    const asked = { uids: linesOf("uids", uidMappings), gids: linesOf("gids", gidMappings) };
    if (!users || !network || !isDeepStrictEqual(asked, users)) {
      throw new CRIError(Code.InvalidArgument, `mount of "${hostPath}": its id mappings are not those of its pod`);
    }
    const target = `${directory}/volumes/${index}`;
    await mountMappedVolume({ source: mount.source, target, usersFile: usernsFile(network.netns) });
    mount.source = target;
  }
}
