export { type Status, StatusError } from "@hawser/api";
export type { PortForwardTransport, TerminalSize, UpgradeKind } from "@hawser/streaming";
export { StreamError, type StreamErrorKind, UpgradeError } from "@hawser/streaming/errors";
export { answerError, isStatus } from "./answer.ts";
export {
  type ClientOptions,
  createClient,
  type DeleteOptions,
  type KubeClient,
  type ListOptions,
  type PatchOptions,
  type RequestOptions,
  type StreamOptions,
  type WatchOptions,
  type WriteOptions,
} from "./client.ts";
export type { ClusterConfig, HeaderLines } from "./config/cluster-config.ts";
export { CredentialError } from "./config/credentials.ts";
export {
  type Cluster,
  type Context,
  type Kubeconfig,
  KubeconfigError,
  kubeconfigPaths,
  parseKubeconfig,
  readKubeconfig,
  type User,
} from "./config/file.ts";
export { inClusterConfig } from "./config/in-cluster.ts";
export { type ConfigOverrides, clusterConfig, type LoadOptions, loadKubeconfig } from "./config/kubeconfig.ts";
export * from "./connect-port.ts";
export { ConnectionError, type ConnectionErrorKind } from "./connection-error.ts";
export * from "./cp.ts";
export * from "./informer.ts";
export type { Input } from "./input.ts";
export { LineTooLongError, lines } from "./lines.ts";
export * from "./logs.ts";
export type { Output } from "./output.ts";
export * from "./portforward.ts";
export { type Query, queryString } from "./query.ts";
export { pathOf, type ResourceRef } from "./ref.ts";
export * from "./remotecommand.ts";
