import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import type { Response } from "../request.ts";
import { drained } from "./respond.ts";

const ends: { name: string; end: (response: EventEmitter, abort: AbortController) => void }[] = [
  { name: "has room again", end: (response) => response.emit("drain") },
  { name: "is gone", end: (response) => response.emit("close") },
  { name: "is not waited for any longer", end: (_, abort) => abort.abort() },
];
for (const { name, end } of ends) {
  test(`drained: a response that ${name}`, async () => {
    const response = Object.assign(new EventEmitter(), { destroyed: false, closed: false });
    const abort = new AbortController();
    const waiting = drained(response as unknown as Response, abort.signal);
    end(response, abort);
    await waiting;
    assert.deepEqual([response.listenerCount("drain"), response.listenerCount("close")], [0, 0]);
  });
}

test("drained: a signal that was aborted before", async () => {
  await drained(new EventEmitter() as unknown as Response, AbortSignal.abort());
});
