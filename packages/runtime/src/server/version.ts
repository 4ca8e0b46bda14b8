import type { MessageInitShape, VersionRequest, VersionResponseSchema } from "@hawser/cri";

/** As package.json has it. */
export const runtimeVersion = "0.1.0";
export const runtimeName = "hawser";
/** Of the protocol before the CRI's own: every runtime answers this. Source: kubernetes pkg/kubelet/cri/remote */
const protocolVersion = "0.1.0";

/** CRI Version. The API version is the one it was asked by; a client without a version speaks v1. */
export async function version({
  version: asked,
}: VersionRequest): Promise<MessageInitShape<typeof VersionResponseSchema>> {
  const runtimeApiVersion = asked === "v1alpha2" ? "v1alpha2" : "v1";
  return { version: protocolVersion, runtimeName, runtimeVersion, runtimeApiVersion };
}
