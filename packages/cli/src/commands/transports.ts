import type { UpgradeKind } from "@hawser/streaming";

/**
 * What kubectl's own variables choose: SPDY alone where one is `false`, else WebSocket first and SPDY where that is refused.
 *
 * Source: kubernetes/kubectl pkg/cmd/util/helpers.go FeatureGate
 */
export function transportsOf(
  env: NodeJS.ProcessEnv,
  name: "KUBECTL_REMOTE_COMMAND_WEBSOCKETS" | "KUBECTL_PORT_FORWARD_WEBSOCKETS",
): { transports?: readonly UpgradeKind[] } {
  return env[name] === "false" ? { transports: ["spdy"] } : {};
}
