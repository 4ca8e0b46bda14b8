export * from "./background.ts";
export { checkout, peerProgram } from "./checkout.ts";
export { type Cluster, type ClusterOptions, startCluster } from "./cluster.ts";
export * from "./command.ts";
export { eventually } from "./eventually.ts";
export * from "./kubectl.ts";
export * from "./lab.ts";
export { freePort } from "./ports.ts";
export { type Registry, type RegistryOptions, startRegistry } from "./registry.ts";
