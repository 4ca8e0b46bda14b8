import { Code, type ContainerConfig, CRIError } from "@hawser/cri";
import type { ContainerRecord } from "../store/records.ts";

/** What a container is called within its sandbox; one container per name. */
export function containerName({ metadata, sandboxId }: Pick<ContainerRecord, "metadata" | "sandboxId">): string {
  return `${metadata.name}_${sandboxId}_${metadata.attempt}`;
}

export function containerMetadata(config: ContainerConfig): ContainerRecord["metadata"] {
  const { metadata } = config;
  if (!metadata?.name) throw new CRIError(Code.InvalidArgument, "container config must include metadata with a name");
  return { name: metadata.name, attempt: metadata.attempt };
}
