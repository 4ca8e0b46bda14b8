import {
  type EncodedMessage,
  encodeMessage,
  joinMessages,
  type ListMetricDescriptorsResponseSchema,
  ListPodSandboxMetricsResponseSchema,
  type MessageInitShape,
  type MetricSchema,
  type PodSandboxMetricsSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import { limiter } from "../limiter.ts";
import { sharedCall } from "../shared-call.ts";
import { turn } from "../turns.ts";
import { type Descriptor, descriptors } from "./metric-descriptors.ts";
import { type Found, type FoundPod, type Labels, lookAtPod } from "./metric-facts.ts";
import { networkDescriptors } from "./network-descriptors.ts";

type Metric = MessageInitShape<typeof MetricSchema>;
type Part = MessageInitShape<typeof PodSandboxMetricsSchema>;

/**
 * Labels of all metrics: the runtime's, and those that a kubelet adds to cAdvisor's metrics and not to ours; the same as containerd
 * and CRI-O have. Source: kubernetes#140778; cri-o#10175
 */
const labelKeys = ["id", "image", "namespace", "pod", "container"] satisfies (keyof Labels)[];

/** Pods that are looked at side by side, and containers of theirs: each is some twenty files. */
const atOnce = 8;

/** CRI ListMetricDescriptors: the metrics that ListPodSandboxMetrics gives. */
export async function listMetricDescriptors(): Promise<MessageInitShape<typeof ListMetricDescriptorsResponseSchema>> {
  const all = [...descriptors, ...networkDescriptors];
  return { descriptors: all.map(({ name, help, labels }) => ({ name, help, labelKeys: [...labelKeys, ...labels] })) };
}

type Dependencies = Pick<Context, "sandboxes" | "containers" | "usage" | "now" | "cgroupMode" | "paths" | "log">;

/**
 * CRI ListPodSandboxMetrics: of the sandboxes that are ready, and of their running containers. To be made once for a runtime:
 * they are looked at once for all who ask meanwhile, a few at a time, and each pod's part of the answer is encoded in a turn of
 * the event loop of its own. Nothing more is looked at once the signals of all who asked are aborted.
 */
export function podSandboxMetrics(dependencies: Dependencies) {
  const { sandboxes } = dependencies;
  const [pods, containers] = [limiter(atOnce), limiter(atOnce)];
  return sharedCall(async (signal): Promise<EncodedMessage<typeof ListPodSandboxMetricsResponseSchema>> => {
    const look = (container: () => Promise<Found>) =>
      containers(() => {
        signal.throwIfAborted();
        return container();
      });
    const ready = sandboxes.list().filter(({ state }) => state === "ready");
    const parts = ready.map((record) =>
      pods(async () => {
        signal.throwIfAborted();
        const found = await lookAtPod(dependencies, record, look);
        await turn();
        return encodeMessage(ListPodSandboxMetricsResponseSchema, { podMetrics: [describe(found)] });
      }),
    );
    return joinMessages(ListPodSandboxMetricsResponseSchema, await Promise.all(parts));
  });
}

function describe({ labels, facts, interfaces, containers }: FoundPod): Part {
  const { timestamp } = facts.usage;
  const metricsOf = (found: Found) =>
    valuesOf(descriptors, found.facts, { labels: found.labels, timestamp: found.facts.usage.timestamp });
  // As cAdvisor has it: the pod's cgroup is of no container, its network of the one called POD.
  const network = valuesOf(networkDescriptors, interfaces, { labels: { ...labels, container: "POD" }, timestamp });
  return {
    podSandboxId: labels.id,
    metrics: [...metricsOf({ labels, facts }), ...network],
    containerMetrics: containers.map((found) => ({ containerId: found.labels.id, metrics: metricsOf(found) })),
  };
}

function valuesOf<Known>(
  told: readonly Descriptor<Known>[],
  known: Known,
  { labels: own, timestamp }: { labels: Labels; timestamp: bigint },
): Metric[] {
  const common = labelKeys.map((key) => own[key]);
  return told.flatMap(({ name, type, of }) =>
    of(known).map(({ value, labels = [] }) => ({
      name,
      timestamp,
      metricType: type,
      labelValues: [...common, ...labels],
      value: { value },
    })),
  );
}
