import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { createLogger } from "@hawser/trace";
import { digestOf } from "./digest.ts";
import { progressInterval } from "./progress.ts";
import { testImage } from "./testing/image.ts";
import { testRegistry } from "./testing/registry.ts";
import { testStore } from "./testing/store.ts";

test("a pull that takes long says in the log how far it is, and nothing more when it is over", {
  timeout: 30_000,
}, async (t) => {
  const image = testImage([], { Labels: { long: "x".repeat(10_000) } });
  const { length } = image.config;
  const asked = Promise.withResolvers<ServerResponse>();
  await using registry = await testRegistry((request, response) => {
    if (!request.url?.endsWith(digestOf(image.config))) return false;
    asked.resolve(response);
    return true;
  });
  registry.add("app", "1", image);
  const lines: string[] = [];
  const log = createLogger({ sink: { write: (line: string) => lines.push(line) } });
  await using fixture = await testStore({}, [], log);
  const reference = `${registry.address}/app:1`;
  t.mock.timers.enable({ apis: ["setInterval"] });
  const tick = () => t.mock.timers.tick(progressInterval);

  const pulled = fixture.store.pull({ reference });
  const response = await asked.promise;
  tick();
  const seen = (bytes: number) =>
    `] image is being pulled name="${reference}" blobs=1 transferred=0 bytes=${length} transferredBytes=${bytes}\n`;
  assert.ok(lines.at(-1)?.endsWith(seen(0)), lines.at(-1));
  response.writeHead(200, { "Content-Length": length });
  response.write(image.config.subarray(0, 5000));
  while (!lines.at(-1)?.endsWith(seen(5000))) {
    await new Promise(setImmediate);
    t.signal.throwIfAborted();
    tick();
  }
  response.end(image.config.subarray(5000));
  await pulled;
  assert.match(lines.at(-1) ?? "", /image pulled/);
  const { length: said } = lines;
  tick();
  assert.equal(lines.length, said);
});
