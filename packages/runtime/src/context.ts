import type { StreamingServer } from "@hawser/cri";
import type { Logger, Metrics } from "@hawser/trace";
import type { ExecGroups } from "./cgroup/exec-groups.ts";
import type { Usage } from "./cgroup/usage.ts";
import type { RuntimeConfig } from "./config.ts";
import type { ImageStore } from "./images/index.ts";
import type { Reaper } from "./native/reaper.ts";
import type { Network } from "./network/connect.ts";
import type { AppArmor } from "./oci/apparmor.ts";
import type { ExecHelper } from "./oci/exec-helper.ts";
import type { ExecProgram } from "./oci/exec-program.ts";
import type { Host } from "./oci/host.ts";
import type { CgroupMode } from "./oci/probe.ts";
import type { OCIRuntime } from "./oci/runtime.ts";
import type { Paths } from "./paths.ts";
import type { Events } from "./server/events.ts";
import type { Leftovers } from "./server/leftovers.ts";
import type { PodCgroups } from "./server/pod-cgroups.ts";
import type { Pauses } from "./store/pauses.ts";
import type { ContainerRecord, SandboxRecord } from "./store/records.ts";
import type { Store } from "./store/store.ts";

/** What the CRI methods work with. Each takes the members it uses. */
export interface Context {
  config: RuntimeConfig;
  paths: Paths;
  log: Logger;
  metrics: Metrics;
  reaper: Reaper;
  oci: OCIRuntime;
  helper: ExecHelper;
  execProgram: ExecProgram;
  conmonPath: string;
  host: Host;
  appArmor: AppArmor;
  cgroupMode: CgroupMode;
  network: Network;
  groups: ExecGroups;
  usage: Usage;
  images: ImageStore;
  sandboxes: Store<SandboxRecord>;
  containers: Store<ContainerRecord>;
  streaming: StreamingServer;
  pauses: Pauses;
  podCgroups: PodCgroups;
  events: Events;
  leftovers: Leftovers;
  /** Nanoseconds since 1970. */
  now: () => bigint;
}
