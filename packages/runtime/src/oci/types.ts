import type { IDMapping } from "../native/idmap.ts";

/**
 * The part of an OCI bundle's config.json that we write.
 *
 * Source: opencontainers/runtime-spec config.md, config-linux.md
 */
export interface Spec {
  ociVersion: string;
  process: Process;
  root: { path: string; readonly: boolean };
  hostname?: string | undefined;
  mounts: Mount[];
  annotations?: Record<string, string>;
  linux: Linux;
}

export interface Process {
  terminal: boolean;
  consoleSize?: { height: number; width: number } | undefined;
  user: User;
  args: string[];
  env: string[];
  cwd: string;
  capabilities?: Capabilities | undefined;
  rlimits?: { type: string; soft: number; hard: number }[] | undefined;
  noNewPrivileges: boolean;
  oomScoreAdj?: number | undefined;
  apparmorProfile?: string | undefined;
  selinuxLabel?: string | undefined;
}

export interface User {
  uid: number;
  gid: number;
  additionalGids?: number[];
}

export interface Capabilities {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable: string[];
  ambient: string[];
}

export interface Mount {
  destination: string;
  type?: string;
  source: string;
  options: string[];
}

export type NamespaceType = "pid" | "network" | "ipc" | "uts" | "mount" | "cgroup" | "user";

export interface Linux {
  namespaces: { type: NamespaceType; path?: string }[];
  uidMappings?: IDMapping[] | undefined;
  gidMappings?: IDMapping[] | undefined;
  cgroupsPath: string;
  resources?: Resources | undefined;
  sysctl?: Record<string, string> | undefined;
  seccomp?: Seccomp | undefined;
  devices?: Device[] | undefined;
  rootfsPropagation?: string | undefined;
  maskedPaths?: string[] | undefined;
  readonlyPaths?: string[] | undefined;
}

export interface Resources {
  devices?: { allow: boolean; type?: string; major?: number; minor?: number; access: string }[];
  memory?: { limit?: number; swap?: number };
  cpu?: { shares?: number; quota?: number; period?: number; cpus?: string; mems?: string };
  pids?: { limit: number };
  hugepageLimits?: { pageSize: string; limit: number }[];
  unified?: Record<string, string>;
}

export interface Device {
  path: string;
  type: "c" | "b" | "u" | "p";
  major: number;
  minor: number;
  fileMode: number;
  uid: number;
  gid: number;
}

export interface Seccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  syscalls: {
    names: string[];
    action: string;
    errnoRet?: number;
    args?: { index: number; value: number; valueTwo?: number; op: string }[];
  }[];
}

export const ociVersion = "1.0.2";
