import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type KubernetesObject, type Status, StatusError } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { createEventRecorder } from "./events.ts";

const status = (code: number) => new StatusError({ status: "Failure", code } satisfies Status);
const unreachable = new Error("connect ECONNREFUSED");

/** What comes of events whose creation fails with these one after the other, and then succeeds. */
async function recorded(failures: Iterable<Error>, reasons = ["Started"]) {
  const tries: string[] = [];
  const delays: number[] = [];
  const left = Iterator.from(failures);
  const settled = Promise.withResolvers<void>();
  let last: string | undefined;
  const client = {
    async create(_: unknown, event: KubernetesObject & { reason?: string }) {
      tries.push(`${event.reason} ${event.metadata?.name}`);
      const { value, done } = left.next();
      if (!done) throw value;
      if (event.reason === reasons.at(-1)) settled.resolve();
    },
    patch: () => assert.fail("nothing was repeated"),
  };
  const warnings: string[] = [];
  const log = {
    ...silentLogger,
    warn(message: string, { reason }: { reason?: string } = {}) {
      warnings.push(message);
      last = reason ?? last;
      if (last === reasons.at(-1)) settled.resolve();
    },
  };
  await using events = createEventRecorder({
    client: client as never,
    nodeName: "worker",
    log: log as never,
    async delay(milliseconds, signal) {
      signal.throwIfAborted();
      delays.push(milliseconds);
    },
  });
  const involved = { kind: "Pod", namespace: "n", name: "web", uid: "u" } as const;
  for (const reason of reasons) events.record(involved, "Normal", reason, "");
  await settled.promise;
  return { tries, delays, warnings };
}

describe("an event that the API server does not take", () => {
  it("is tried again at once, and then after pauses, under one name", async () => {
    for (const failure of [unreachable, status(429), status(502), status(503), status(504)]) {
      const { tries, delays, warnings } = await recorded([failure, failure, failure]);
      assert.deepEqual(delays, [50, 10_000, 10_000]);
      assert.deepEqual(warnings, ["events wait: the API server does not take them"]);
      assert.equal(tries.length, 4);
      assert.equal(new Set(tries).size, 1);
    }
  });

  it("is given up after 12 tries; the next comes after it", async () => {
    const { tries, delays, warnings } = await recorded(Array(12).fill(unreachable), ["Pulled", "Started"]);
    assert.deepEqual(delays, [50, ...Array(10).fill(10_000)]);
    assert.deepEqual(warnings, ["events wait: the API server does not take them", "event not sent"]);
    assert.deepEqual(
      tries.map((line) => line.split(" ")[0]),
      [...Array(12).fill("Pulled"), "Started"],
    );
  });

  it("is not tried again where it is refused", async () => {
    for (const code of [400, 403, 404, 422, 500]) {
      const { tries, delays, warnings } = await recorded([status(code)]);
      assert.deepEqual([tries.length, delays, warnings], [1, [50], ["event not sent"]]);
    }
  });
});
