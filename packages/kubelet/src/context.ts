import type { KubeClient } from "@hawser/client";
import type { ImageClient, RuntimeClient } from "@hawser/cri";
import type { Logger, Metrics } from "@hawser/trace";
import type { EventRecorder } from "./events.ts";
import type { DNSSettings } from "./pods/dns.ts";
import type { PodFacts } from "./pods/environment.ts";
import type { Folders } from "./pods/paths.ts";
import type { KubeletSettings } from "./settings.ts";

/** What the parts of one kubelet share. Each function asks for the members it uses. */
export interface KubeletContext {
  settings: KubeletSettings;
  folders: Folders;
  runtime: RuntimeClient;
  images: ImageClient;
  /** The runtime's own name, for container ids: `containerd://…` */
  runtimeName: string;
  client: KubeClient;
  events: EventRecorder;
  log: Logger;
  metrics: Metrics;
  now: () => number;
  nodeIP: string;
  dns: DNSSettings;
  /** Without the pod's own addresses. */
  facts: Omit<PodFacts, "podIPs">;
  cgroupDriver: "cgroupfs" | "systemd";
  /** Runs a program of the system; rejects with what it wrote to stderr. */
  run: (program: string, args: string[]) => Promise<unknown>;
}
