import type { KubernetesObject, WatchEvent } from "@hawser/api";
import type { KubeClient, ResourceRef } from "@hawser/client";

/** The events of a watch, one after the other. */
export class Events implements Disposable {
  readonly #stop = new AbortController();
  readonly #events: AsyncIterator<WatchEvent>;
  last: KubernetesObject | undefined;

  constructor(client: KubeClient, ref: ResourceRef, options: object) {
    this.#events = client.watch(ref, { ...options, signal: this.#stop.signal })[Symbol.asyncIterator]();
  }

  async types(count: number): Promise<string[]> {
    const types: string[] = [];
    while (types.length < count) {
      const { done, value } = await this.#events.next();
      if (done) return [...types, "end"];
      types.push(value.type);
      if (value.type !== "ERROR") this.last = value.object;
    }
    return types;
  }

  async ended(): Promise<void> {
    try {
      while (!(await this.#events.next()).done);
    } catch {
      // A connection that is cut ends it as well.
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
