import assert from "node:assert/strict";
import { it } from "node:test";
import type { Logger } from "@hawser/trace";
import type { Reaper } from "../native/reaper.ts";
import type { Events } from "../server/events.ts";
import { Pauses } from "./pauses.ts";
import type { SandboxRecord } from "./records.ts";
import type { Store } from "./store.ts";

it("Pauses: the end of a child is told, and only others' pause processes are looked at again and again", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const pause = { pid: process.pid, startTime: "1" }; // gone: another process has its number
  const known = new Map(
    ["child", "stranger"].map((id) => [id, { id, state: "ready", pause } as unknown as SandboxRecord]),
  );
  const looked = new Set<string>();
  const sandboxes = {
    list: () => [...known.values()],
    find(id: string) {
      looked.add(id);
      return known.get(id);
    },
    async note(id: string, change: (record: SandboxRecord) => SandboxRecord) {
      const record = known.get(id);
      if (record) known.set(id, change(record));
    },
  } as unknown as Store<SandboxRecord>;
  const ends = new Map<string, () => void>();
  const ended = (id: string) => new Promise<void>((resolve) => ends.set(id, resolve));
  const events = { emit: (id: string) => ends.get(id)?.() } as unknown as Events;
  const { promise: exited, resolve: exit } = Promise.withResolvers<number>();
  const reaper = { watch: () => exited } as unknown as Reaper;
  const log = { at: () => {}, error: (text: string) => assert.fail(text) } as unknown as Logger;
  using pauses = new Pauses({ sandboxes, reaper, events, log });
  const child = known.get("child");
  assert.ok(child);
  pauses.watch(child);

  const stranger = ended("stranger");
  t.mock.timers.tick(5000);
  assert.deepEqual([...looked], ["stranger"]);
  await stranger;
  assert.equal(known.get("stranger")?.state, "notready");
  assert.equal(known.get("child")?.state, "ready");

  const told = ended("child");
  exit(0);
  await told;
  assert.equal(known.get("child")?.state, "notready");

  // Told of an end that was none: it was no child of ours. From then on it is looked at.
  looked.clear();
  known.clear();
  known.set("again", { ...child, id: "again", pause: undefined });
  pauses.watch({ ...child, id: "again" });
  await new Promise(setImmediate);
  assert.deepEqual([...looked], ["again"]);
  known.set("again", { ...child, id: "again" });
  const found = ended("again");
  t.mock.timers.tick(5000);
  await found;
});
