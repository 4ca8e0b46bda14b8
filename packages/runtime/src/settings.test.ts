import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { completeConfig, defaultConfig } from "./config.ts";
import { readFlags } from "./flags.ts";
import { commentedConfig, settings } from "./settings.ts";

const packaged = path.resolve(import.meta.dirname, "../../../packaging/hawser-runtime.yaml");
/** Settings whose value is a map or a list as a whole. */
const whole = new Set(["rlimits", "images.mirrors", "images.auth"]);

function leaves(value: object, prefix = ""): string[] {
  return Object.entries(value).flatMap(([name, inner]) => {
    const key = `${prefix}${name}`;
    const isSection = typeof inner === "object" && !Array.isArray(inner) && !whole.has(key);
    return isSection ? leaves(inner, `${key}.`) : [key];
  });
}

test("each setting is documented, and nothing that is none", () => {
  assert.deepEqual(
    settings.map(({ key }) => key),
    leaves(defaultConfig),
  );
});

test("the packaged file says the defaults, and is what --default-config prints", async () => {
  const text = await readFile(packaged, "utf8");
  assert.deepEqual(parse(text), defaultConfig);
  assert.deepEqual(completeConfig(parse(text)), completeConfig({}));
  assert.equal(text, commentedConfig(defaultConfig), "hawser runtime --default-config > packaging/hawser-runtime.yaml");
  assert.deepEqual(readFlags(["--default-config"]), { print: text });
});

test("the examples in the comments are good ones", () => {
  const text = commentedConfig(defaultConfig).replaceAll(
    /^( *)# ( *(?:docker\.io|dockerConfig|registries|nofile): .*)$/gm,
    "$1$2",
  );
  const examples = text
    .replaceAll(/^( *(?:mirrors|auth|rlimits)): \{\}$/gm, "")
    .replace("# [on reload] Limits of", "rlimits:\n# ")
    .replace("  # [on reload] Where to look", "  mirrors:\n# ")
    .replace("  # [on reload] Credentials", "  auth:\n# ");
  const { images, rlimits } = completeConfig(parse(examples));
  const { mirrors, auth } = images;
  assert.deepEqual(rlimits, { nofile: "1024:524288" });
  assert.deepEqual(mirrors, { "docker.io": ["http://127.0.0.1:5000"] });
  assert.equal(auth?.dockerConfig, "/root/.docker/config.json");
  assert.deepEqual(Object.keys(auth?.registries ?? {}), ["registry.example.com"]);
});
