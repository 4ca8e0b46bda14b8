import assert from "node:assert/strict";
import { it } from "node:test";
import { expired, type List, type Pod, type WatchEvent } from "@hawser/api";
import type { KubeClient } from "./client.ts";
import { informer } from "./informer.ts";

const pod = (name: string, resourceVersion: string): Pod => ({
  metadata: { name, namespace: "default", resourceVersion },
});

interface Script {
  lists: (Pod[] | Error)[];
  watches: (WatchEvent<Pod>[] | Error)[];
}

/** Answers from a script; when the watches are used up, the next one waits until the informer stops. */
function scripted({ lists, watches }: Script): {
  client: Pick<KubeClient, "list" | "watch">;
  calls: string[];
  idle: Promise<void>;
} {
  const calls: string[] = [];
  const idle = Promise.withResolvers<void>();
  const client = {
    async list() {
      const next = lists.shift() ?? [];
      calls.push("list");
      if (next instanceof Error) throw next;
      const list: List<Pod> = { kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: "10" }, items: next };
      return list;
    },
    async *watch(_: unknown, { resourceVersion, signal }: { resourceVersion?: string; signal?: AbortSignal }) {
      calls.push(`watch ${resourceVersion}`);
      const next = watches.shift();
      if (!next) {
        idle.resolve();
        if (!signal?.aborted) await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
        return;
      }
      if (next instanceof Error) throw next;
      yield* next;
    },
  };
  // The script stands for a client of pods only.
  return { client: client as unknown as Pick<KubeClient, "list" | "watch">, calls, idle: idle.promise };
}

it("tells what it lists and what it watches", async () => {
  const told: string[] = [];
  const script = scripted({
    lists: [[pod("a", "1"), pod("b", "2")]],
    watches: [
      [
        { type: "MODIFIED", object: pod("a", "11") },
        { type: "DELETED", object: pod("b", "12") },
        { type: "BOOKMARK", object: { metadata: { resourceVersion: "20" } } },
      ],
    ],
  });
  await using pods = informer<Pod>(
    script.client,
    { resource: "pods" },
    {
      onAdd: ({ metadata }) => told.push(`+${metadata?.name}`),
      onUpdate: ({ metadata }, before) =>
        told.push(`${metadata?.name} ${before.metadata?.resourceVersion}->${metadata?.resourceVersion}`),
      onDelete: ({ metadata }) => told.push(`-${metadata?.name}`),
    },
  );
  await pods.synced;
  await script.idle;
  assert.deepEqual(told, ["+a", "+b", "a 1->11", "-b"]);
  assert.deepEqual([...pods.items.keys()], ["default/a"]);
  assert.deepEqual(script.calls, ["list", "watch 10", "watch 20"]);
});

it("lists again after a 410, and tells what went meanwhile", async () => {
  const told: string[] = [];
  const script = scripted({
    lists: [
      [pod("a", "1"), pod("b", "2")],
      [pod("b", "2"), pod("c", "3")],
    ],
    watches: [[{ type: "ERROR", object: expired("too old").status }]],
  });
  await using pods = informer<Pod>(
    script.client,
    { resource: "pods" },
    {
      onAdd: ({ metadata }) => told.push(`+${metadata?.name}`),
      onUpdate: ({ metadata }) => told.push(`~${metadata?.name}`),
      onDelete: ({ metadata }) => told.push(`-${metadata?.name}`),
    },
  );
  await pods.synced;
  await script.idle;
  assert.deepEqual(told, ["+a", "+b", "+c", "-a"]);
  assert.deepEqual(script.calls, ["list", "watch 10", "list", "watch 10"]);
});

it("tries again after failures, pausing longer each time", async () => {
  const pauses: number[] = [];
  const errors: unknown[] = [];
  const script = scripted({ lists: [new Error("one"), new Error("two"), [pod("a", "1")]], watches: [] });
  await using pods = informer<Pod>(
    script.client,
    { resource: "pods" },
    {
      onError: (error) => errors.push(error),
      pause: async (milliseconds) => pauses.push(milliseconds),
    },
  );
  await pods.synced;
  assert.equal(errors.length, 2);
  assert.ok(pauses[0] !== undefined && pauses[0] >= 50 && pauses[0] <= 100, String(pauses));
  assert.ok(pauses[1] !== undefined && pauses[1] >= 100 && pauses[1] <= 200, String(pauses));
});

it("goes on when a callback throws", async () => {
  const errors: string[] = [];
  const script = scripted({ lists: [[pod("a", "1"), pod("b", "1")]], watches: [] });
  await using pods = informer<Pod>(
    script.client,
    { resource: "pods" },
    {
      onAdd: ({ metadata }) => {
        throw new Error(metadata?.name ?? "");
      },
      onError: (error) => errors.push((error as Error).message),
    },
  );
  await pods.synced;
  assert.deepEqual(errors, ["a", "b"]);
});

it("stops, and rejects synced when it never was", async () => {
  const script = scripted({ lists: [new Error("down")], watches: [] });
  const stop = new AbortController();
  const pods = informer<Pod>(
    script.client,
    { resource: "pods" },
    {
      signal: stop.signal,
      pause: async () => stop.abort(new Error("over")),
    },
  );
  await assert.rejects(pods.synced, { message: "over" });
  await pods.stopped;
});
