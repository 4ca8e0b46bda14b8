import type { ContainerConfig } from "@hawser/cri";
import { stopSignal } from "../oci/signals.ts";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { containerMetadata } from "./container-name.ts";

/** What is known of a container that was made and not asked for. */
type Made = Pick<
  ContainerRecord,
  "id" | "createdAt" | "logPath" | "mounts" | "process" | "stdioOwner" | "cgroupPath" | "resources" | "init" | "conmon"
>;

/** The record of a container that the OCI runtime has created, and nobody has started yet. */
export function newContainerRecord({
  config,
  sandbox,
  image,
  imageSettings,
  made,
}: {
  config: ContainerConfig;
  sandbox: Pick<SandboxRecord, "id">;
  image: { id: string; repoDigests: readonly string[] };
  imageSettings: { StopSignal?: string } | undefined;
  made: Made;
}): ContainerRecord {
  return {
    ...made,
    sandboxId: sandbox.id,
    metadata: containerMetadata(config),
    image: {
      image: config.image?.image ?? "",
      userSpecified: config.image?.userSpecifiedImage ?? "",
      annotations: { ...config.image?.annotations },
    },
    imageId: image.id,
    imageRef: image.repoDigests[0] ?? image.id,
    labels: { ...config.labels },
    annotations: { ...config.annotations },
    startedAt: "0",
    finishedAt: "0",
    exitCode: 0,
    state: "created",
    reason: "",
    message: "",
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    stopSignal: stopSignal(config.stopSignal, imageSettings?.StopSignal),
  };
}
