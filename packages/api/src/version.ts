/**
 * The Kubernetes release whose API and behaviour the hops follow, as `/version` and a node's `kubeletVersion` name it. Clients decide by
 * it what they may ask for, and a kubelet must not be newer than its API server: so there is one.
 */
export const kubernetesVersion = { major: "1", minor: "33", gitVersion: "v1.33.0+hawser" };
