import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { ContainerEventType, ContainerFilterSchema, ContainerState, create } from "@hawser/cri";
import type { ContainerRecord } from "../store/records.ts";
import { describeUsage } from "./container-stats.ts";
import { Events } from "./events.ts";
import { containerMatches, labelsMatch, parts } from "./filters.ts";
import { resolvConf } from "./sandbox-files.ts";
import { runtimeVersion } from "./version.ts";

test("version: is that of the package", async () => {
  const file = path.join(import.meta.dirname, "../../package.json");
  const { version } = JSON.parse(await readFile(file, "utf8")) as { version: string };
  assert.equal(runtimeVersion, version);
});

test("resolvConf: searches, servers, options; no value ends its own line", () => {
  const text = resolvConf({
    servers: ["1.1.1.1", "2.2.2.2\nnameserver 6.6.6.6"],
    searches: ["a", "b"],
    options: ["ndots:5"],
  });
  assert.equal(text, "search a b\nnameserver 1.1.1.1\nnameserver 2.2.2.2nameserver6.6.6.6\noptions ndots:5\n");
  assert.equal(resolvConf({ servers: [], searches: [], options: [] }), "");
});

test("filters: all conditions together", () => {
  const record = { id: "abc", sandboxId: "pod", state: "running", labels: { a: "1" } } as unknown as ContainerRecord;
  const matches = (filter: object) => containerMatches(create(ContainerFilterSchema, filter), record);
  assert.ok(containerMatches(undefined, record));
  assert.ok(matches({ id: "ab", podSandboxId: "pod", labelSelector: { a: "1" } }));
  assert.ok(!matches({ id: "b" }));
  assert.ok(!matches({ podSandboxId: "other" }));
  assert.ok(matches({ state: { state: ContainerState.CONTAINER_RUNNING } }));
  assert.ok(!matches({ state: { state: ContainerState.CONTAINER_CREATED } }));
  assert.ok(!labelsMatch({ a: "2" }, record.labels));
  assert.deepEqual(
    [...parts(Array.from({ length: 250 }, (_, n) => n))].map(({ length }) => length),
    [100, 100, 50],
  );
});

test("describeUsage: only what is known", () => {
  assert.deepEqual(describeUsage({ timestamp: 5n }), { cpu: { timestamp: 5n }, memory: { timestamp: 5n } });
  const { memory } = describeUsage({ timestamp: 1n, workingSetBytes: 30n, memoryLimitBytes: 100n });
  assert.deepEqual(memory, { timestamp: 1n, workingSetBytes: { value: 30n }, availableBytes: { value: 70n } });
});

test("Events: reach every listener in order, until it leaves", async () => {
  const events = new Events((containerId, containerEventType) => ({ containerId, containerEventType }));
  const stop = new AbortController();
  const seen: (string | undefined)[] = [];
  const listening = (async () => {
    for await (const event of events.listen(stop.signal)) {
      seen.push(event.containerId);
      if (seen.length === 3) stop.abort();
    }
  })();
  for (const id of ["a", "b", "c"]) events.emit(id, ContainerEventType.CONTAINER_CREATED_EVENT);
  await listening;
  assert.deepEqual(seen, ["a", "b", "c"]);
});

test("Events: who is a thousand behind is cut off", async () => {
  const events = new Events((containerId, containerEventType) => ({ containerId, containerEventType }));
  const listening = events.listen(new AbortController().signal);
  const first = listening.next();
  for (let n = 0; n < 1003; n++) events.emit(String(n), ContainerEventType.CONTAINER_CREATED_EVENT);
  await first;
  await assert.rejects(
    async () => {
      for await (const _ of listening);
    },
    { code: 8 },
  );
});
