import assert from "node:assert/strict";
import { test } from "node:test";
import { checkJSON } from "./check.ts";
import { messageType } from "./schema.ts";

const pod = messageType("core.Pod");
const container = (more: object) => ({ spec: { containers: [{ name: "a", ...more }] } });

test("checkJSON: keeps what the type knows and tells what it does not", () => {
  const { object, unknown } = checkJSON(pod, {
    kind: "Pod",
    metadata: { name: "a", creationTimestamp: null, extra: 1 },
    ...container({ image: "x", imagee: "y" }),
  });
  assert.deepEqual(object, { kind: "Pod", metadata: { name: "a" }, spec: { containers: [{ name: "a", image: "x" }] } });
  assert.deepEqual(unknown, ['unknown field "metadata.extra"', 'unknown field "spec.containers[0].imagee"']);
});

test("checkJSON: quantities and times get their usual form", () => {
  const { object } = checkJSON(pod, {
    metadata: { creationTimestamp: "2020-01-01T02:00:00.5+02:00" },
    ...container({ resources: { limits: { cpu: 0.5, memory: "1024Ki" } } }),
  });
  assert.deepEqual(object, {
    metadata: { creationTimestamp: "2020-01-01T00:00:00Z" },
    spec: { containers: [{ name: "a", resources: { limits: { cpu: "500m", memory: "1Mi" } } }] },
  });
});

test("checkJSON: members of inlined types stand in their parent", () => {
  const { unknown } = checkJSON(pod, {
    spec: {
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [{ name: "a", livenessProbe: { exec: { command: ["x"] } } }],
    },
  });
  assert.deepEqual(unknown, []);
});

const wrong: { name: string; value: Record<string, unknown>; text: string }[] = [
  {
    name: "a string for a list",
    value: { spec: { containers: "x" } },
    text: "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
  },
  {
    name: "a number for a string",
    value: container({ env: [{ name: "A", value: 1 }] }),
    text: "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
  },
  {
    name: "a list for an object",
    value: { spec: [] },
    text: "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec",
  },
  {
    name: "half an integer",
    value: container({ ports: [{ containerPort: 80.5 }] }),
    text: "json: cannot unmarshal number 80.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
  },
  {
    name: "a quantity that is none",
    value: container({ resources: { limits: { cpu: "lots" } } }),
    text: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  },
];
for (const { name, value, text } of wrong) {
  test(`checkJSON: refuses ${name}`, () => {
    assert.throws(() => checkJSON(pod, value), { name: "TypeMismatch", message: text });
  });
}

test("checkJSON: base64 is checked", () => {
  const secret = messageType("core.Secret");
  assert.deepEqual(checkJSON(secret, { data: { a: "aGk=" } }).object, { data: { a: "aGk=" } });
  assert.throws(() => checkJSON(secret, { data: { a: "a$==" } }), /illegal base64 data at input byte 1/);
});
