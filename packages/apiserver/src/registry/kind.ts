import type { KubernetesObject, NameRule } from "@hawser/api";
import type { FieldError } from "./field-error.ts";

/** A column of a Table answer. Priority 1 is shown by `-o wide` only. */
export interface Column<T> {
  name: string;
  type: "string" | "integer";
  format?: "name";
  priority?: 0 | 1;
  description: string;
  cell(object: T, now: Date): string | number;
}

/** The part an update is on; empty for the main one. */
export type Subresource = "" | "status" | "finalize" | "ephemeralcontainers" | "binding";

/** What an update's hooks may look at beside the object. */
export interface UpdateHooks<T> {
  /** Brings `next` (a draft of the hook's own) into shape: what a client may not change here comes from `current`. */
  prepare?(next: T, current: T): void;
  validate?(next: T, current: T): FieldError[];
}

/**
 * One kind of resource: all that sets it apart from the others. The verbs are the same for all.
 * Hooks that change get a draft of their own; hooks that look must not change anything.
 */
export interface ResourceKind<T extends KubernetesObject = KubernetesObject> {
  /** Empty for the core group. */
  group: string;
  version: string;
  resource: string;
  kind: string;
  singular: string;
  shortNames?: string[];
  categories?: string[];
  namespaced: boolean;
  checkName: NameRule;
  /** With a `status` subresource, an update of the main part leaves the status alone. */
  subresources?: Partial<Record<Exclude<Subresource, "" | "binding">, UpdateHooks<T>>>;
  /** On creation, after the metadata. */
  prepare?(object: T): void;
  /** Of a new object, and of the new state of an old one. */
  validate?(object: T): FieldError[];
  update?: UpdateHooks<T>;
  /** PUT on a name that does not exist creates it. */
  createOnUpdate?: boolean;
  /** Beside metadata.name and metadata.namespace. */
  fields?(object: T): Record<string, string>;
  columns?: Column<T>[];
  /** Objects go away by themselves after this time. */
  ttlSeconds?: number;
  deletion?: {
    /** Deletion in two steps: how many seconds the first waits for the second; 0 deletes at once. */
    gracePeriod?(object: T, asked: number | undefined): number;
    /** Changes the object when its deletion begins. */
    begin?(object: T): void;
    /** Something besides its finalizers holds the object. */
    held?(object: T): boolean;
    /** DELETE answers with the object instead of a Status. */
    returnsObject?: boolean;
  };
  /** The same objects under another group or version: what is stored is what `view.stored` has. */
  view?: View;
}

/** Turns stored objects into another version's, and back. */
export interface View {
  stored: ResourceKind;
  toView(object: KubernetesObject): KubernetesObject;
  fromView(object: KubernetesObject): KubernetesObject;
}

/**
 * A kind's entry in the table of all kinds: there, its type no longer matters, since every object
 * that reaches it was decoded as that kind.
 */
export function define<T extends KubernetesObject>(kind: ResourceKind<T>): ResourceKind {
  return kind as unknown as ResourceKind;
}

export function apiVersionOf({ group, version }: Pick<ResourceKind, "group" | "version">): string {
  return group ? `${group}/${version}` : version;
}

/** The kind whose objects the store has: another's for a view. */
export function storedKind(kind: ResourceKind): ResourceKind {
  return kind.view?.stored ?? kind;
}

/** A stored object as this kind shows it. */
export function viewOf({ view }: ResourceKind, object: KubernetesObject): KubernetesObject {
  return view ? view.toView(object) : object;
}

/** `Pod`, or `Lease.coordination.k8s.io`: as Invalid answers name a kind. */
export function groupKind({ group, kind }: Pick<ResourceKind, "group" | "kind">): string {
  return group ? `${kind}.${group}` : kind;
}

/** Where a kind's objects are stored; with a namespace, those of that namespace. */
export function keyPrefix({ resource }: Pick<ResourceKind, "resource">, namespace = ""): string {
  return namespace ? `/registry/${resource}/${namespace}/` : `/registry/${resource}/`;
}

export function objectKey(
  kind: Pick<ResourceKind, "resource" | "namespaced">,
  namespace: string,
  name: string,
): string {
  return `${keyPrefix(kind, kind.namespaced ? namespace : "")}${name}`;
}
