import { Code, CRIError } from "@hawser/cri";

/** CRI UpdatePodSandboxResources: refused by name. */
export async function updatePodSandboxResources(): Promise<never> {
  throw new CRIError(Code.Unimplemented, "UpdatePodSandboxResources is not implemented");
}
