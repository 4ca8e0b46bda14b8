import type { Volume } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import type { PodFacts } from "../pods/environment.ts";
import type { Folders } from "../pods/paths.ts";
import type { BoundPod } from "../pods/pod.ts";

/** A volume cannot be set up. The text goes into a FailedMount event. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
}

export interface VolumeContext {
  folders: Folders;
  client: Pick<KubeClient, "get" | "request">;
  /** What the downward API tells; the pod's own addresses are not known yet. */
  facts: PodFacts;
  /** Runs a program of the system; rejects with its stderr. */
  run: (program: string, args: string[]) => Promise<unknown>;
}

export interface VolumeRequest {
  pod: BoundPod;
  volume: Volume;
}

/** Sets a volume up, again and again if need be, and says where on the node it lies. */
export type VolumePlugin = (context: VolumeContext, request: VolumeRequest) => Promise<string>;
