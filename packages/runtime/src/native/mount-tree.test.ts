import assert from "node:assert/strict";
import { test } from "node:test";
import { hasMountSetattr } from "./mount-tree.ts";

for (const [name, why, has] of [
  ["refuses the size", 22, true],
  ["has no such call", 38, false],
  ["has a filter that does not allow it", 1, false],
] as const) {
  test(`hasMountSetattr: ${has} of a kernel that ${name}`, () => {
    assert.equal(
      hasMountSetattr(() => ({ done: false, why })),
      has,
    );
  });
}

test("hasMountSetattr: asks the kernel", () => assert.equal(typeof hasMountSetattr(), "boolean"));
