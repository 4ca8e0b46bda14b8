import { checkDNSSubdomain, type Event } from "@hawser/api";
import { nameColumn, text } from "../columns.ts";
import { ageOf } from "../duration.ts";
import { define, type ResourceKind } from "../kind.ts";

/** kube-apiserver's --event-ttl: one hour, in seconds. */
const eventTTL = 3600;

/** Source: kubernetes/kubernetes pkg/registry/core/event/strategy.go, pkg/printers/internalversion/printers.go printEvent */
const event: ResourceKind<Event> = {
  group: "",
  version: "v1",
  resource: "events",
  kind: "Event",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  checkName: checkDNSSubdomain,
  createOnUpdate: true,
  ttlSeconds: eventTTL,
  fields: ({ involvedObject = {}, reason, reportingComponent, source, type }) => ({
    "involvedObject.kind": involvedObject.kind ?? "",
    "involvedObject.namespace": involvedObject.namespace ?? "",
    "involvedObject.name": involvedObject.name ?? "",
    "involvedObject.uid": involvedObject.uid ?? "",
    "involvedObject.apiVersion": involvedObject.apiVersion ?? "",
    "involvedObject.resourceVersion": involvedObject.resourceVersion ?? "",
    "involvedObject.fieldPath": involvedObject.fieldPath ?? "",
    reason: reason ?? "",
    reportingComponent: reportingComponent ?? "",
    source: source?.component || reportingComponent || "",
    type: type ?? "",
  }),
  columns: [
    { name: "Last Seen", type: "string", description: "When it was last seen.", cell: lastSeen },
    text("Type", "Normal or Warning.", ({ type }) => type ?? ""),
    text("Reason", "Why, in a word.", ({ reason }) => reason ?? ""),
    text(
      "Object",
      "What it is about.",
      ({ involvedObject: { kind, name } = {} }) => `${kind?.toLowerCase() ?? ""}/${name ?? ""}`,
    ),
    {
      name: "Subobject",
      type: "string",
      priority: 1,
      description: "Which part.",
      cell: ({ involvedObject }) => involvedObject?.fieldPath ?? "",
    },
    { name: "Source", type: "string", priority: 1, description: "Who says so.", cell: sourceOf },
    { name: "Message", type: "string", description: "What happened.", cell: ({ message }) => (message ?? "").trim() },
    { name: "First Seen", type: "string", priority: 1, description: "When it was first seen.", cell: firstSeen },
    {
      name: "Count",
      type: "string",
      priority: 1,
      description: "How often.",
      cell: ({ series, count }) => String(series?.count ?? (count || 1)),
    },
    { ...nameColumn, priority: 1 },
  ],
};

export const events = define(event);

function firstSeen({ firstTimestamp, eventTime }: Event, now: Date): string {
  return ageOf(firstTimestamp ?? eventTime, now);
}

function lastSeen(object: Event, now: Date): string {
  const { series, lastTimestamp, count = 0 } = object;
  const first = firstSeen(object, now);
  if (series) return `${ageOf(series.lastObservedTime, now)} (x${series.count} over ${first})`;
  if (count > 1) return `${ageOf(lastTimestamp, now)} (x${count} over ${first})`;
  return lastTimestamp ? ageOf(lastTimestamp, now) : first;
}

function sourceOf({ source, reportingComponent, reportingInstance }: Event): string {
  const component = source?.component || reportingComponent || "";
  const host = source?.host || (source?.component ? "" : reportingInstance) || "";
  return host ? `${component}, ${host}` : component;
}
