import type { MessageInitShape, UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponseSchema } from "@hawser/cri";
import type { Context } from "../context.ts";

/**
 * CRI UpdateRuntimeConfig: the pods' addresses, as the kubelet learns them from its node. Taken when they are those we
 * were started with; otherwise noted, as containerd does where it has no template: our addresses are a flag, and those of a network
 * that others have configured are theirs.
 */
export async function updateRuntimeConfig(
  { network, log }: Pick<Context, "network" | "log">,
  { runtimeConfig }: UpdateRuntimeConfigRequest,
): Promise<MessageInitShape<typeof UpdateRuntimeConfigResponseSchema>> {
  const podCIDR = runtimeConfig?.networkConfig?.podCidr ?? "";
  if (podCIDR && network.confDir) {
    log.info("pod CIDR of the node is left to who configures the pods' network", {
      podCIDR,
      cniConfDir: network.confDir.path,
    });
  } else if (podCIDR && podCIDR !== network.podCIDR) {
    log.info("pod CIDR of the node differs from the one this runtime was started with", {
      podCIDR,
      own: network.podCIDR,
    });
  }
  return {};
}
