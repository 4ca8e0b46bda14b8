export type { Launcher } from "./cluster/daemon.ts";
export { hawserProgram } from "./cluster/daemon.ts";
export { type DownOptions, down } from "./cluster/down.ts";
export { type ClusterPaths, clusterPaths, defaultDataDir, type Hop, hops, logFile } from "./cluster/paths.ts";
export { type APIProbe, isReady } from "./cluster/probe.ts";
export type { ClusterSettings } from "./cluster/settings.ts";
export { type ClusterStatus, isHealthy, status } from "./cluster/status.ts";
export { type UpOptions, type UpResult, up } from "./cluster/up.ts";
