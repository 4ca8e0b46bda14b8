import assert from "node:assert/strict";
import { test } from "node:test";
import { checkStoreConfig } from "./store-config.ts";

test("checkStoreConfig: a whole configuration", () => {
  const config = {
    mirrors: { "docker.io": ["http://127.0.0.1:5000"], "*": ["mirror.example"] },
    insecureRegistries: ["registry.lan:5000"],
    auth: { dockerConfig: "/root/.docker/config.json", registries: { "docker.io": { username: "u", password: "p" } } },
    timeouts: { connect: 1000 },
    pinned: ["registry.k8s.io/pause:3.9"],
  };
  assert.equal(checkStoreConfig(config), config);
  assert.deepEqual(checkStoreConfig({}), {});
});

const wrong: [value: unknown, message: RegExp][] = [
  [[], /"images" has to be a mapping/],
  [{ mirror: {} }, /unknown setting "images\.mirror"/],
  [{ mirrors: { "docker.io": "http://127.0.0.1:5000" } }, /"images\.mirrors\.docker\.io" has to be a list/],
  [JSON.parse('{ "mirrors": { "__proto__": ["x"] } }'), /"__proto__" is no registry's name/],
  [{ mirrors: { "docker.io/library": ["x"] } }, /"docker.io\/library" is no registry's name/],
  [{ mirrors: { "docker.io": ["ftp://x"] } }, /"ftp:\/\/x" is no registry's URL/],
  [{ timeouts: { connect: "1s" } }, /"images\.timeouts\.connect" has to be milliseconds/],
  [{ auth: { registries: { x: { user: "u" } } } }, /unknown setting "images\.auth\.registries\.x\.user"/],
  [{ auth: { dockerConfig: 1 } }, /has to be a path/],
  [{ pinned: ["Nginx"] }, /must be lowercase/],
];
for (const [value, message] of wrong) {
  test(`checkStoreConfig: refuses ${JSON.stringify(value)}`, () => {
    assert.throws(() => checkStoreConfig(value), { message });
  });
}
