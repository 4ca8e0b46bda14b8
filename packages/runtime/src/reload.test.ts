import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@hawser/trace";
import { completeConfig, type PartialConfig } from "./config.ts";
import type { ImageStoreConfig } from "./images/store-config.ts";
import { createReloader } from "./reload.ts";

function reloader(given: PartialConfig = {}) {
  const config = completeConfig(given);
  const lines: string[] = [];
  const configured: ImageStoreConfig[] = [];
  let now = 1;
  const { reload, last } = createReloader({
    config,
    images: { configure: (images) => void configured.push(images) },
    log: createLogger({ sink: { write: (line) => lines.push(line) } }),
    now: () => now++,
  });
  return { config, lines, configured, last, reload: (next: object) => reload(async () => next as PartialConfig) };
}

test("what can change does, in place; what cannot is named, again and again", async () => {
  const { config, lines, configured, reload, last } = reloader({ podCIDR: "10.1.0.0/16" });
  const { exec } = config; // whoever has a section sees the change
  const next = { podCIDR: "10.2.0.0/16", verbosity: 3, exec: { graceSeconds: 7 }, images: { pinned: ["a"] } };
  const changed = ["verbosity", "exec.graceSeconds", "images.pinned"];
  assert.deepEqual(await reload(next), { changed, needRestart: ["podCIDR"] });
  assert.deepEqual([exec.graceSeconds, exec.drainSeconds, config.podCIDR], [7, 0.25, "10.1.0.0/16"]);
  assert.deepEqual(configured[0]?.pinned, ["a"]);
  assert.match(lines[0] ?? "", /configuration reloaded changed=\["verbosity","exec\.graceSeconds","images\.pinned"\]/);
  assert.match(lines[1] ?? "", /^W.*need a restart.* needRestart=\["podCIDR"\]/);
  assert.deepEqual(await reload(next), { changed: [], needRestart: ["podCIDR"] });
  assert.deepEqual(await reload({ podCIDR: "10.1.0.0/16" }), { changed, needRestart: [] }, "back to the defaults");
  assert.deepEqual(last(), { successful: true, succeededAt: 4 });
});

test("a bad configuration changes nothing, and the log says so without its values", async () => {
  const { config, lines, configured, reload, last } = reloader();
  const before = structuredClone(config);
  const bad = { exec: { graceSeconds: 9 }, images: { auth: { registries: { x: { pasword: "hunter2" } } } } };
  assert.equal(await reload(bad), undefined);
  assert.deepEqual(config, before);
  assert.deepEqual(configured, []);
  assert.match(
    lines[0] ?? "",
    /^E.*not reloaded; the old one is in force error=.*images\.auth\.registries\.x\.pasword/,
  );
  assert.doesNotMatch(lines.join(""), /hunter2/);
  assert.deepEqual(last(), { successful: false, succeededAt: 1 });
  await reload({});
  assert.equal(last().successful, true);
});

test("many wishes at once are two readings", async () => {
  let readings = 0;
  const { config } = reloader();
  const { reload } = createReloader({
    config,
    images: { configure: () => undefined },
    log: createLogger({ sink: { write: () => true } }),
  });
  const read = async () => {
    readings++;
    return {};
  };
  const first = reload(read);
  await Promise.resolve(); // it has begun
  await Promise.all([first, reload(read), reload(read), reload(read)]);
  assert.equal(readings, 2);
});

test("limits that the kernel does not have are a bad configuration", async () => {
  const { config, lines, reload } = reloader();
  assert.equal(await reload({ verbosity: 3, rlimits: { nofile: Number.MAX_SAFE_INTEGER } }), undefined);
  assert.deepEqual([config.verbosity, config.rlimits], [0, {}]);
  assert.match(lines[0] ?? "", /not reloaded.*fs\.nr_open/);
});
