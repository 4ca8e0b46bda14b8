import type { ContainerFilter, PodSandboxFilter } from "@hawser/cri";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { containerState, sandboxState } from "./describe.ts";

/** Items in one part of a streamed list. */
const itemsPerPart = 100;

/** All conditions of a filter together; an id may be shortened. */
export function sandboxMatches(filter: PodSandboxFilter | undefined, record: SandboxRecord): boolean {
  if (!filter) return true;
  if (!record.id.startsWith(filter.id)) return false;
  if (filter.state && filter.state.state !== sandboxState(record)) return false;
  return labelsMatch(filter.labelSelector, record.labels);
}

export function containerMatches(filter: ContainerFilter | undefined, record: ContainerRecord): boolean {
  if (!filter) return true;
  if (!record.id.startsWith(filter.id) || !record.sandboxId.startsWith(filter.podSandboxId)) return false;
  if (filter.state && filter.state.state !== containerState(record)) return false;
  return labelsMatch(filter.labelSelector, record.labels);
}

export function labelsMatch(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** A list in parts, none of which is too large for a message. */
export function* parts<T>(items: T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += itemsPerPart) yield items.slice(at, at + itemsPerPart);
}
