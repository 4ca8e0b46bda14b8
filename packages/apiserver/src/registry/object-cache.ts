import type { KubernetesObject } from "@hawser/api";
import type { StorageEvent, Stored } from "../storage/storage.ts";

/** Decoded objects kept; the one longest unused goes first. */
const maxObjects = 5000;

/**
 * Decoded objects by the revision that wrote them, so that what is read often is parsed once.
 * They are shared: nobody may change them.
 */
export class ObjectCache {
  readonly #objects = new Map<number, KubernetesObject>();

  decode({ value, revision }: Pick<Stored, "value" | "revision">): KubernetesObject {
    const known = this.#objects.get(revision);
    if (known) {
      this.#objects.delete(revision);
      this.#objects.set(revision, known);
      return known;
    }
    const object = decodeAt(value, revision);
    this.#objects.set(revision, object);
    if (this.#objects.size > maxObjects) {
      for (const [oldest] of this.#objects) {
        this.#objects.delete(oldest);
        break;
      }
    }
    return object;
  }

  readonly #events = new WeakMap<StorageEvent, { current?: KubernetesObject; previous?: KubernetesObject }>();

  /** An event's two states, both at the event's revision. */
  decodeEvent(event: StorageEvent): { current?: KubernetesObject; previous?: KubernetesObject } {
    const known = this.#events.get(event);
    if (known) return known;
    const { value, previous, revision } = event;
    const states = {
      ...(value !== undefined && { current: this.decode({ value, revision }) }),
      ...(previous !== undefined && { previous: decodeAt(previous, revision) }),
    };
    this.#events.set(event, states);
    return states;
  }
}

function decodeAt(value: string, revision: number): KubernetesObject {
  const object = JSON.parse(value) as KubernetesObject;
  object.metadata = { ...object.metadata, resourceVersion: String(revision) };
  return object;
}

/** What is stored: the object without its resourceVersion, which is its revision. */
export function encode(object: KubernetesObject): string {
  const { resourceVersion: _, ...metadata } = object.metadata ?? {};
  return JSON.stringify({ ...object, metadata });
}
