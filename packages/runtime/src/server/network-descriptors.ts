import { MetricType } from "@hawser/cri";
import type { Descriptor } from "./metric-descriptors.ts";
import type { InterfaceCounters } from "./network-usage.ts";

/** Of a pod's interfaces, by the names that cAdvisor gave them. Source: google/cadvisor docs/storage/prometheus.md */
export const networkDescriptors: Descriptor<InterfaceCounters[]>[] = [
  counter("receive_bytes", "Cumulative count of bytes received", ({ received }) => received.bytes),
  counter("receive_packets", "Cumulative count of packets received", ({ received }) => received.packets),
  counter(
    "receive_packets_dropped",
    "Cumulative count of packets dropped while receiving",
    ({ received }) => received.dropped,
  ),
  counter(
    "receive_errors",
    "Cumulative count of errors encountered while receiving",
    ({ received }) => received.errors,
  ),
  counter("transmit_bytes", "Cumulative count of bytes transmitted", ({ sent }) => sent.bytes),
  counter("transmit_packets", "Cumulative count of packets transmitted", ({ sent }) => sent.packets),
  counter(
    "transmit_packets_dropped",
    "Cumulative count of packets dropped while transmitting",
    ({ sent }) => sent.dropped,
  ),
  counter("transmit_errors", "Cumulative count of errors encountered while transmitting", ({ sent }) => sent.errors),
];

function counter(
  part: string,
  help: string,
  value: (counters: InterfaceCounters) => bigint,
): Descriptor<InterfaceCounters[]> {
  return {
    name: `container_network_${part}_total`,
    help,
    type: MetricType.COUNTER,
    labels: ["interface"],
    of: (interfaces) => interfaces.map((counters) => ({ value: value(counters), labels: [counters.name] })),
  };
}
