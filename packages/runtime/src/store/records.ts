import type { MountPropagation, NamespaceMode } from "@hawser/cri";
import type { IDMappings } from "../native/idmap.ts";
import type { ProcessId } from "../native/process-id.ts";
import type { Membership } from "../network/list.ts";
import type { Process } from "../oci/types.ts";

/** Nanoseconds since 1970, in decimal: JSON has no 64-bit integers. "0" for not yet. */
export type Nanoseconds = string;

/** What must be known of a sandbox after a restart. */
export interface SandboxRecord {
  id: string;
  metadata: { name: string; uid: string; namespace: string; attempt: number };
  labels: Record<string, string>;
  annotations: Record<string, string>;
  runtimeHandler: string;
  state: "ready" | "notready";
  createdAt: Nanoseconds;
  /** Empty when containers have no logs. */
  logDirectory: string;
  hostname: string;
  /** cgroup path under which the pod's cgroups are. */
  cgroupParent: string;
  /** The parent was not there before: it goes with the sandbox. */
  ownsCgroup: boolean;
  /**
   * Directories of cgroups that go with it too, as far as they are empty, down to the parent: of each hierarchy the topmost, be it
   * the parent itself.
   */
  madeAbove?: string[];
  privileged: boolean;
  namespaces: { network: NamespaceMode; pid: NamespaceMode; ipc: NamespaceMode };
  /** The ids of its own user namespace. Absent with the node's users. */
  users?: IDMappings | undefined;
  /** The pause process. */
  pause?: ProcessId | undefined;
  network?: NetworkRecord | undefined;
  /** Stopped: its pause process, network and mounts are gone. */
  released?: boolean;
}

/** What a sandbox has of the network. Absent with the node's network. */
export interface NetworkRecord {
  /** The file its network namespace is pinned to. */
  netns: string;
  ips: string[];
  portMappings: PortMapping[];
  /** Of the network that others have configured; absent with our own. */
  membership?: Membership | undefined;
}

export interface PortMapping {
  protocol: "tcp" | "udp" | "sctp";
  containerPort: number;
  hostPort: number;
  hostIP: string;
}

export interface ContainerRecord {
  id: string;
  sandboxId: string;
  metadata: { name: string; attempt: number };
  image: { image: string; userSpecified: string; annotations: Record<string, string> };
  imageId: string;
  /** What the CRI calls image_ref: a digest, or the id. */
  imageRef: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  createdAt: Nanoseconds;
  startedAt: Nanoseconds;
  finishedAt: Nanoseconds;
  exitCode: number;
  state: "created" | "running" | "exited";
  reason: string;
  message: string;
  /** Absolute; empty for none. */
  logPath: string;
  mounts: MountRecord[];
  /** What an exec starts from: user, environment, capabilities, working directory. */
  process: Process;
  /** Whom pipes to its processes are to belong to: its own root, where its users are not the node's. */
  stdioOwner?: { uid: number; gid: number } | undefined;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  /** A number. */
  stopSignal: number;
  cgroupPath: string;
  resources: ResourceRecord;
  init: ProcessId;
  conmon: ProcessId;
}

export interface MountRecord {
  containerPath: string;
  hostPath: string;
  readonly: boolean;
  propagation: MountPropagation;
  recursiveReadOnly: boolean;
}

/** LinuxContainerResources in numbers. */
export interface ResourceRecord {
  cpuPeriod?: number;
  cpuQuota?: number;
  cpuShares?: number;
  memoryLimitInBytes?: number;
  memorySwapLimitInBytes?: number;
  oomScoreAdj?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  hugepageLimits?: { pageSize: string; limit: number }[];
  unified?: Record<string, string>;
}
