import {
  badRequest,
  checkLabelValue,
  checkQualifiedName,
  failure,
  type KubernetesObject,
  type ObjectMeta,
  rfc3339,
  type StatusError,
} from "@hawser/api";
import { type FieldError, forbiddenField, immutable, invalidValue, required } from "./field-error.ts";
import type { ResourceKind } from "./kind.ts";

/** Bytes all annotations of an object may take together. */
const maxAnnotations = 256 * 1024;
/** A generated name's own part is cut to this length, so that five more fit. */
const maxGeneratedBase = 58;
/** Without vowels and look-alikes, so that nothing rude and nothing confusing comes out. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

export interface MetadataOptions {
  now: Date;
  uid: string;
  random?: () => number;
}

/**
 * Makes a new object's metadata the server's own: uid, time, namespace, generated name.
 * Throws StatusError when the object contradicts the request.
 *
 * Source: kubernetes/apiserver pkg/registry/rest/create.go, meta.go
 */
export function prepareMetadata(
  kind: ResourceKind,
  object: KubernetesObject,
  namespace: string,
  { now, uid, random = Math.random }: MetadataOptions,
): ObjectMeta {
  const { metadata = {} } = object;
  if (metadata.resourceVersion) throw resourceVersionOnCreate();
  const own = ownNamespace(kind, metadata, namespace);
  const name = metadata.name || (metadata.generateName ? generateName(metadata.generateName, random) : "");
  const { managedFields: _, selfLink: _1, deletionTimestamp: _2, deletionGracePeriodSeconds: _3, ...kept } = metadata;
  object.metadata = { ...kept, name, ...own, uid, creationTimestamp: rfc3339(now) as unknown as Time };
  return object.metadata;
}

// kubernetes-types calls times strings with a class of their own; they are RFC 3339 texts.
type Time = NonNullable<ObjectMeta["creationTimestamp"]>;

function ownNamespace(kind: ResourceKind, metadata: ObjectMeta, namespace: string): { namespace?: string } {
  if (!kind.namespaced) {
    delete metadata.namespace;
    return {};
  }
  if (metadata.namespace && metadata.namespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  return { namespace };
}

function generateName(base: string, random: () => number): string {
  const tail = Array.from({ length: 5 }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
  return base.slice(0, maxGeneratedBase) + tail;
}

function resourceVersionOnCreate(): StatusError {
  return failure({ code: 500, reason: "", message: "resourceVersion should not be set on objects to be created" });
}

/** Of a new object. Source: kubernetes/apimachinery pkg/api/validation/objectmeta.go */
export function validateMetadata(kind: ResourceKind, { name = "", ...metadata }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.generateName) {
    // A prefix may end in a dash: what follows makes it a name.
    const checked = metadata.generateName.replace(/-$/, "a");
    errors.push(
      ...kind.checkName(checked).map((text) => invalidValue("metadata.generateName", metadata.generateName, text)),
    );
  }
  if (name === "") errors.push(required("metadata.name", "name or generateName is required"));
  else errors.push(...kind.checkName(name).map((text) => invalidValue("metadata.name", name, text)));
  return [...errors, ...validateMaps(metadata)];
}

function validateMaps({ labels = {}, annotations = {}, finalizers = [] }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels)) {
    errors.push(...checkQualifiedName(key).map((text) => invalidValue("metadata.labels", key, text)));
    errors.push(...checkLabelValue(value).map((text) => invalidValue("metadata.labels", value, text)));
  }
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    errors.push(
      ...checkQualifiedName(key.toLowerCase()).map((text) => invalidValue("metadata.annotations", key, text)),
    );
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > maxAnnotations) {
    const message = `Too long: may not be more than ${maxAnnotations} bytes`;
    errors.push({ field: "metadata.annotations", reason: "FieldValueTooLong", message });
  }
  for (const name of finalizers) {
    errors.push(...checkQualifiedName(name).map((text) => invalidValue("metadata.finalizers", name, text)));
  }
  return errors;
}

/** What no client may change comes from the current object. */
export function carryMetadata(next: KubernetesObject, current: KubernetesObject): void {
  const { managedFields: _, selfLink: _1, ...kept } = next.metadata ?? {};
  const was = current.metadata ?? {};
  next.metadata = {
    ...kept,
    ...(!kept.uid && was.uid && { uid: was.uid }),
    ...(was.creationTimestamp && { creationTimestamp: was.creationTimestamp }),
  };
  for (const field of ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"] as const) {
    delete next.metadata[field];
    if (was[field] !== undefined) Object.assign(next.metadata, { [field]: was[field] });
  }
}

/** Of an object's new state against its old one. */
export function validateMetadataUpdate(next: ObjectMeta, current: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (next.name !== current.name) errors.push(immutable("metadata.name", next.name));
  if ((next.namespace ?? "") !== (current.namespace ?? ""))
    errors.push(immutable("metadata.namespace", next.namespace));
  if (next.uid !== current.uid) errors.push(immutable("metadata.uid", next.uid));
  if (current.deletionTimestamp) {
    const added = (next.finalizers ?? []).filter((name) => !current.finalizers?.includes(name));
    if (added.length > 0) {
      const text = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
      errors.push(forbiddenField("metadata.finalizers", text));
    }
  }
  return [...errors, ...validateMaps(next)];
}
