import { checkDNSSubdomain, type Event, type KubernetesObject } from "@hawser/api";
import type { Event as NewEvent } from "kubernetes-types/events/v1.js";
import { events } from "../core/event.ts";
import { define } from "../kind.ts";

/**
 * The same events under their newer group and names.
 *
 * Source: kubernetes/kubernetes pkg/apis/events/v1/conversion.go
 */
export const newEvents = define<Event>({
  group: "events.k8s.io",
  version: "v1",
  resource: "events",
  kind: "Event",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  checkName: checkDNSSubdomain,
  createOnUpdate: true,
  fields: ({ involvedObject = {}, reason, reportingComponent, type }) => ({
    "regarding.kind": involvedObject.kind ?? "",
    "regarding.namespace": involvedObject.namespace ?? "",
    "regarding.name": involvedObject.name ?? "",
    "regarding.uid": involvedObject.uid ?? "",
    "regarding.apiVersion": involvedObject.apiVersion ?? "",
    "regarding.resourceVersion": involvedObject.resourceVersion ?? "",
    "regarding.fieldPath": involvedObject.fieldPath ?? "",
    reason: reason ?? "",
    reportingController: reportingComponent ?? "",
    type: type ?? "",
  }),
  view: { stored: events, toView, fromView },
});

function toView(stored: KubernetesObject): KubernetesObject {
  const { involvedObject, message, source, firstTimestamp, lastTimestamp, count, reportingComponent, ...same } =
    stored as Event;
  return defined({
    ...same,
    apiVersion: "events.k8s.io/v1",
    regarding: involvedObject,
    note: message,
    reportingController: reportingComponent,
    deprecatedSource: source,
    deprecatedFirstTimestamp: firstTimestamp,
    deprecatedLastTimestamp: lastTimestamp,
    deprecatedCount: count,
  });
}

function fromView(shown: KubernetesObject): KubernetesObject {
  const {
    regarding,
    note,
    reportingController,
    deprecatedSource,
    deprecatedFirstTimestamp,
    deprecatedLastTimestamp,
    deprecatedCount,
    ...same
  } = shown as NewEvent;
  return defined({
    ...same,
    apiVersion: "v1",
    involvedObject: regarding ?? {},
    message: note,
    reportingComponent: reportingController,
    source: deprecatedSource,
    firstTimestamp: deprecatedFirstTimestamp,
    lastTimestamp: deprecatedLastTimestamp,
    count: deprecatedCount,
  });
}

function defined(members: Record<string, unknown>): KubernetesObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
