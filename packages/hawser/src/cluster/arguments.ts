import { cgroupRoot } from "./cgroups.ts";
import type { KubeletCredentials } from "./credentials.ts";
import type { ClusterPaths } from "./paths.ts";
import type { ClusterSettings } from "./settings.ts";

// The command lines of the three daemons: what `ps` shows, and what one types to start a hop alone.

export function apiserverArguments(paths: ClusterPaths, settings: ClusterSettings): string[] {
  return [
    ...["--data-dir", paths.dataDir, "--port", String(settings.apiPort)],
    ...["--advertise-address", settings.apiAddress],
    // By address, as kubeadm sets it: a node's name need not resolve here.
    ...["--kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"],
    ...(isLoopback(settings.nodeAddress) ? ["--allow-loopback-kubelets"] : []),
    ...["-v", String(settings.verbosity)],
  ];
}

export function runtimeArguments(paths: ClusterPaths, settings: ClusterSettings): string[] {
  return [
    ...["--root", paths.runtimeRoot, "--socket", paths.runtimeSocket, "--pod-cidr", settings.podCIDR],
    ...(settings.ociRuntime ? ["--oci-runtime", settings.ociRuntime] : []),
    ...(settings.runtimeConfig ? ["--config", settings.runtimeConfig] : []),
    // A flag wins over the file for as long as it runs: without one, the file's verbosity can be reloaded.
    ...(settings.verbosity > 0 || !settings.runtimeConfig ? ["-v", String(settings.verbosity)] : []),
  ];
}

export function kubeletArguments(
  paths: ClusterPaths,
  settings: ClusterSettings,
  credentials: KubeletCredentials,
): string[] {
  return [
    ...["--kubeconfig", credentials.kubeconfig, "--runtime-endpoint", runtimeEndpoint(paths, settings)],
    ...["--node-name", settings.nodeName, "--node-ip", settings.nodeAddress],
    ...["--port", String(settings.kubeletPort), "--root-dir", paths.kubeletRoot],
    ...["--cgroup-root", cgroupRoot(paths), "--client-ca-file", credentials.clientCA],
    ...["--tls-cert-file", credentials.servingCertificate, "--tls-private-key-file", credentials.servingKey],
    ...["-v", String(settings.verbosity)],
  ];
}

export function runtimeEndpoint(paths: ClusterPaths, settings: ClusterSettings): string {
  return settings.runtimeEndpoint ?? `unix://${paths.runtimeSocket}`;
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}
