import assert from "node:assert/strict";
import { test } from "node:test";
import { applyMergePatch } from "./merge-patch.ts";
import { applyStrategicMergePatch } from "./strategic.ts";

type Members = Record<string, unknown>;
const pod = (spec: Members) => ({ spec });
const container = (name: string, more: Members = {}) => ({ name, ...more });

const cases: { name: string; doc: Members; patch: Members; want: Members; type?: string }[] = [
  {
    name: "containers are merged by name, new ones come last",
    doc: pod({ containers: [container("a", { image: "1" }), container("b", { image: "1" })] }),
    patch: pod({ containers: [container("b", { image: "2" }), container("c")] }),
    want: pod({ containers: [container("a", { image: "1" }), container("b", { image: "2" }), container("c")] }),
  },
  {
    name: "ports by containerPort, environment by name, inside a merged container",
    doc: pod({ containers: [container("a", { ports: [{ containerPort: 80 }], env: [{ name: "X", value: "1" }] })] }),
    patch: pod({ containers: [container("a", { ports: [{ containerPort: 81 }], env: [{ name: "X", value: "2" }] })] }),
    want: pod({
      containers: [
        container("a", { ports: [{ containerPort: 80 }, { containerPort: 81 }], env: [{ name: "X", value: "2" }] }),
      ],
    }),
  },
  {
    name: "$patch: delete takes an item out",
    doc: pod({ containers: [container("a"), container("b")] }),
    patch: pod({ containers: [{ name: "a", $patch: "delete" }] }),
    want: pod({ containers: [container("b")] }),
  },
  {
    name: "$patch: replace replaces a list",
    doc: pod({ containers: [container("a")] }),
    patch: pod({ containers: [container("z"), { $patch: "replace" }] }),
    want: pod({ containers: [container("z")] }),
  },
  {
    name: "$patch: replace replaces a map",
    doc: { metadata: { labels: { a: "1" } } },
    patch: { metadata: { labels: { b: "2", $patch: "replace" } } },
    want: { metadata: { labels: { b: "2" } } },
  },
  {
    name: "null removes a member",
    doc: { metadata: { labels: { a: "1", b: "2" } } },
    patch: { metadata: { labels: { a: null } } },
    want: { metadata: { labels: { b: "2" } } },
  },
  {
    name: "a list without a key is replaced",
    doc: pod({ containers: [container("a", { command: ["x", "y"] })] }),
    patch: pod({ containers: [container("a", { command: ["z"] })] }),
    want: pod({ containers: [container("a", { command: ["z"] })] }),
  },
  {
    name: "tolerations have no key either",
    doc: pod({ tolerations: [{ key: "a" }] }),
    patch: pod({ tolerations: [{ key: "b" }] }),
    want: pod({ tolerations: [{ key: "b" }] }),
  },
  {
    name: "$setElementOrder orders what it names",
    doc: pod({ containers: [container("a"), container("b")] }),
    patch: pod({
      "$setElementOrder/containers": [{ name: "c" }, { name: "b" }, { name: "a" }],
      containers: [container("c")],
    }),
    want: pod({ containers: [container("c"), container("b"), container("a")] }),
  },
  {
    name: "$retainKeys drops the other volume source",
    doc: pod({ volumes: [{ name: "v", emptyDir: {} }] }),
    patch: pod({ volumes: [{ name: "v", hostPath: { path: "/x" }, $retainKeys: ["name", "hostPath"] }] }),
    want: pod({ volumes: [{ name: "v", hostPath: { path: "/x" } }] }),
  },
  {
    name: "finalizers are a set",
    doc: { metadata: { finalizers: ["a"] } },
    patch: { metadata: { finalizers: ["b", "a"] } },
    want: { metadata: { finalizers: ["a", "b"] } },
  },
  {
    name: "$deleteFromPrimitiveList takes values out",
    doc: { metadata: { finalizers: ["a", "b"] } },
    patch: { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } },
    want: { metadata: { finalizers: ["b"] } },
  },
  {
    name: "conditions by type",
    type: "core.Node",
    doc: { status: { conditions: [{ type: "Ready", status: "False" }] } },
    patch: { status: { conditions: [{ type: "Ready", status: "True" }, { type: "Other" }] } },
    want: { status: { conditions: [{ type: "Ready", status: "True" }, { type: "Other" }] } },
  },
];
for (const { name, doc, patch, want, type = "core.Pod" } of cases) {
  test(`applyStrategicMergePatch: ${name}`, () => {
    const before = structuredClone(doc);
    assert.deepEqual(applyStrategicMergePatch(doc, patch, type), want);
    assert.deepEqual(doc, before, "the document itself is left alone");
  });
}

test("applyStrategicMergePatch: refuses an item without its key and a directive nobody knows", () => {
  const doc = pod({ containers: [container("a")] });
  const keyless = pod({ containers: [{ image: "x" }] });
  assert.throws(() => applyStrategicMergePatch(doc, keyless, "core.Pod"), { code: 400, message: /merge key: name/ });
  assert.throws(() => applyStrategicMergePatch(doc, { $patch: "turn" }, "core.Pod"), { code: 400 });
});

test("applyMergePatch: RFC 7396's own example", () => {
  const doc = {
    title: "Goodbye!",
    author: { givenName: "John", familyName: "Doe" },
    tags: ["example", "sample"],
    content: "x",
  };
  const patch = { title: "Hello!", phoneNumber: "+01", author: { familyName: null }, tags: ["example"] };
  const want = { title: "Hello!", author: { givenName: "John" }, tags: ["example"], content: "x", phoneNumber: "+01" };
  assert.deepEqual(applyMergePatch(doc, patch), want);
});
