import {
  Code,
  CRIError,
  type ListMetricDescriptorsResponseSchema,
  type ListPodSandboxMetricsResponseSchema,
  type MessageInitShape,
} from "@hawser/cri";

/** CRI ListMetricDescriptors: we offer no metrics by this way; PodSandboxStats has the numbers. */
export async function listMetricDescriptors(): Promise<MessageInitShape<typeof ListMetricDescriptorsResponseSchema>> {
  return { descriptors: [] };
}

/** CRI ListPodSandboxMetrics: of no descriptors, no metrics. */
export async function listPodSandboxMetrics(): Promise<MessageInitShape<typeof ListPodSandboxMetricsResponseSchema>> {
  return { podMetrics: [] };
}

/** CRI UpdatePodSandboxResources: refused by name. */
export async function updatePodSandboxResources(): Promise<never> {
  throw new CRIError(Code.Unimplemented, "UpdatePodSandboxResources is not implemented");
}
