import { unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import {
  Code,
  CRIError,
  type MessageInitShape,
  type UpdateContainerResourcesRequest,
  type UpdateContainerResourcesResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { mergeResources, ociResources, resourceRecord } from "../oci/resources.ts";
import { call } from "../oci/runtime.ts";
import { checkResources } from "./check-input.ts";

/**
 * CRI UpdateContainerResources: of a created or running container. oom_score_adj cannot be changed afterwards and is left
 * as it was. Throws NotFound, FailedPrecondition (ended), or Unimplemented for Windows.
 */
export async function updateContainerResources(
  dependencies: Pick<Context, "containers" | "reaper" | "oci" | "host">,
  { containerId, linux, windows }: UpdateContainerResourcesRequest,
): Promise<MessageInitShape<typeof UpdateContainerResourcesResponseSchema>> {
  if (windows) throw new CRIError(Code.Unimplemented, "Windows containers are not implemented");
  checkResources(linux);
  const { containers, host } = dependencies;
  const { id } = containers.get(containerId);
  await containers.lock.run(id, async () => {
    const record = containers.get(id);
    if (record.state === "exited") throw new CRIError(Code.FailedPrecondition, `container "${id}" has ended`);
    const { oomScoreAdj: _, ...asked } = await resourceRecord(host, linux);
    const resources = mergeResources(record.resources, asked);
    const file = path.join(containers.directoryOf(id), "resources.json");
    await writeFile(file, JSON.stringify(ociResources(resources, host.cgroup)), { mode: 0o600 });
    try {
      await call(dependencies, "update", ["--resources", file, id]);
    } finally {
      await unlink(file);
    }
    await containers.update(id, (latest) => ({ ...latest, resources }));
  });
  return {};
}
