import assert from "node:assert/strict";
import { test } from "node:test";
import { applyJSONPatch } from "./json-patch.ts";

const cases: { name: string; doc: unknown; patch: unknown; want: unknown }[] = [
  { name: "add a member", doc: { a: 1 }, patch: [{ op: "add", path: "/b", value: 2 }], want: { a: 1, b: 2 } },
  {
    name: "add into a list",
    doc: { a: [1, 3] },
    patch: [{ op: "add", path: "/a/1", value: 2 }],
    want: { a: [1, 2, 3] },
  },
  { name: "append", doc: { a: [1] }, patch: [{ op: "add", path: "/a/-", value: 2 }], want: { a: [1, 2] } },
  { name: "remove", doc: { a: 1, b: [1, 2] }, patch: [{ op: "remove", path: "/b/0" }], want: { a: 1, b: [2] } },
  { name: "replace", doc: { a: { b: 1 } }, patch: [{ op: "replace", path: "/a/b", value: 2 }], want: { a: { b: 2 } } },
  {
    name: "replace in a list keeps its place",
    doc: [1, 2, 3],
    patch: [{ op: "replace", path: "/1", value: 9 }],
    want: [1, 9, 3],
  },
  { name: "move", doc: { a: 1 }, patch: [{ op: "move", from: "/a", path: "/b" }], want: { b: 1 } },
  { name: "copy", doc: { a: [1] }, patch: [{ op: "copy", from: "/a", path: "/b" }], want: { a: [1], b: [1] } },
  { name: "test holds", doc: { a: [1] }, patch: [{ op: "test", path: "/a", value: [1] }], want: { a: [1] } },
  {
    name: "escaped names",
    doc: { "a/b": 1, "c~d": 2 },
    patch: [
      { op: "remove", path: "/a~1b" },
      { op: "remove", path: "/c~0d" },
    ],
    want: {},
  },
  { name: "the whole document", doc: { a: 1 }, patch: [{ op: "replace", path: "", value: { b: 2 } }], want: { b: 2 } },
];
for (const { name, doc, patch, want } of cases) {
  test(`applyJSONPatch: ${name}`, () => {
    const before = structuredClone(doc);
    assert.deepEqual(applyJSONPatch(doc, patch), want);
    assert.deepEqual(doc, before, "the document itself is left alone");
  });
}

const refused: { name: string; patch: unknown; code: number }[] = [
  { name: "no list", patch: { op: "add" }, code: 400 },
  { name: "an operation nobody knows", patch: [{ op: "swap", path: "/a" }], code: 400 },
  { name: "null among the operations", patch: [null], code: 400 },
  { name: "a path that leads nowhere", patch: [{ op: "remove", path: "/x/y" }], code: 422 },
  { name: "replacing what is not there", patch: [{ op: "replace", path: "/x", value: 1 }], code: 422 },
  { name: "an index past the end", patch: [{ op: "add", path: "/list/9", value: 1 }], code: 422 },
  { name: "a test that fails", patch: [{ op: "test", path: "/a", value: 2 }], code: 422 },
  { name: "inherited members", patch: [{ op: "remove", path: "/constructor" }], code: 422 },
  { name: "too many", patch: Array.from({ length: 10_001 }, () => ({ op: "test", path: "/a", value: 1 })), code: 413 },
];
for (const { name, patch, code } of refused) {
  test(`applyJSONPatch: refuses ${name}`, () => {
    assert.throws(() => applyJSONPatch({ a: 1, list: [] }, patch), { name: "StatusError", code });
  });
}

test("applyJSONPatch: __proto__ is a name like any other", () => {
  const patched = applyJSONPatch({}, [{ op: "add", path: "/__proto__", value: { bad: true } }]) as object;
  assert.equal(Object.getPrototypeOf(patched), Object.prototype);
  assert.deepEqual(Object.keys(patched), ["__proto__"]);
});
