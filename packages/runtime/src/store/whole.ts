import type { ProcessId } from "../native/process-id.ts";
import type { Membership } from "../network/list.ts";
import type { ContainerRecord, SandboxRecord } from "./records.ts";

/** Is this what a runtime writes of a sandbox? Beyond what is looked at, it is as good as its JSON. */
export function isSandboxRecord(value: unknown): value is SandboxRecord {
  const record = fieldsOf<SandboxRecord>(value);
  const { name, namespace, uid } = fieldsOf<SandboxRecord["metadata"]>(record.metadata);
  const texts = [record.id, name, namespace, uid, record.createdAt, record.cgroupParent, record.hostname];
  return (
    texts.every(isText) &&
    (record.state === "ready" || record.state === "notready") &&
    (record.pause === undefined || isProcessId(record.pause)) &&
    (record.network === undefined || (isText(record.network.netns) && isMembership(record.network.membership))) &&
    [record.labels, record.annotations, record.namespaces].every(isObject)
  );
}

/** Is this what a runtime writes of a container? */
export function isContainerRecord(value: unknown): value is ContainerRecord {
  const record = fieldsOf<ContainerRecord>(value);
  const texts = [record.id, record.sandboxId, record.imageId, record.cgroupPath, record.createdAt, record.logPath];
  return (
    texts.every(isText) &&
    isText(fieldsOf<ContainerRecord["metadata"]>(record.metadata).name) &&
    (record.state === "created" || record.state === "running" || record.state === "exited") &&
    isProcessId(record.init) &&
    isProcessId(record.conmon) &&
    typeof record.stopSignal === "number" &&
    Array.isArray(record.mounts) &&
    [record.labels, record.annotations, record.image, record.process, record.resources].every(isObject)
  );
}

function isMembership(value: unknown): boolean {
  const { list, capabilities } = fieldsOf<Membership>(value);
  return value === undefined || (isObject(list) && Array.isArray(list.plugins) && isObject(capabilities));
}

function fieldsOf<T>(value: unknown): Partial<T> {
  return isObject(value) ? (value as Partial<T>) : {};
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isProcessId(value: unknown): value is ProcessId {
  const { pid, startTime } = fieldsOf<ProcessId>(value);
  return Number.isSafeInteger(pid) && isText(startTime);
}
