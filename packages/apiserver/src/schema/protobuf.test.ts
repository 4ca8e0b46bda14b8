import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeProtobuf } from "./protobuf.ts";

const field = (number: number, bytes: Buffer | string) => {
  const body = Buffer.from(bytes);
  return Buffer.concat([Buffer.from([(number << 3) | 2, body.byteLength]), body]);
};
const integer = (number: number, value: number) => Buffer.from([number << 3, value]);
const envelope = (apiVersion: string, kind: string, raw: Buffer) =>
  Buffer.concat([Buffer.from("k8s\0"), field(1, Buffer.concat([field(1, apiVersion), field(2, kind)])), field(2, raw)]);

test("decodeProtobuf: a SelfSubjectAccessReview as kubectl 1.33 sends it", () => {
  const attributes = Buffer.concat([
    field(1, "default"),
    field(2, "create"),
    field(3, ""),
    field(4, "*"),
    field(5, "pods"),
  ]);
  const raw = Buffer.concat([field(1, field(8, "")), field(2, field(1, attributes))]);
  assert.deepEqual(decodeProtobuf(envelope("authorization.k8s.io/v1", "SelfSubjectAccessReview", raw)), {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    metadata: {},
    spec: { resourceAttributes: { namespace: "default", verb: "create", version: "*", resource: "pods" } },
  });
});

test("decodeProtobuf: maps, bytes, numbers, times, members of inlined types", () => {
  const metadata = Buffer.concat([
    field(1, "a"),
    field(8, integer(1, 60)),
    field(11, Buffer.concat([field(1, "k"), field(2, "v")])),
  ]);
  const secret = Buffer.concat([field(1, metadata), field(2, Buffer.concat([field(1, "p"), field(2, "q")]))]);
  assert.deepEqual(decodeProtobuf(envelope("v1", "Secret", secret)), {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "a", creationTimestamp: "1970-01-01T00:01:00Z", labels: { k: "v" } },
    data: { p: Buffer.from("q").toString("base64") },
  });
  const volume = Buffer.concat([field(1, "v"), field(2, field(2, ""))]);
  const port = Buffer.concat([integer(3, 80)]);
  const container = Buffer.concat([field(1, "c"), field(6, port)]);
  const pod = field(2, Buffer.concat([field(1, volume), field(2, container)]));
  assert.deepEqual(decodeProtobuf(envelope("v1", "Pod", pod)), {
    apiVersion: "v1",
    kind: "Pod",
    spec: { volumes: [{ name: "v", emptyDir: {} }], containers: [{ name: "c", ports: [{ containerPort: 80 }] }] },
  });
});

test("decodeProtobuf: what is cut short or of no kind we have is refused", () => {
  const whole = envelope("v1", "ConfigMap", field(1, field(1, "a")));
  assert.equal((decodeProtobuf(whole).metadata as { name: string }).name, "a");
  // Whatever is cut off, the answer is an error or a smaller message: never a crash of another kind.
  for (let length = 0; length < whole.byteLength; length++) {
    try {
      decodeProtobuf(whole.subarray(0, length));
    } catch (error) {
      assert.equal((error as Error).name, "ProtobufError", `cut at ${length}`);
    }
  }
  assert.throws(() => decodeProtobuf(Buffer.from("{}  ")), /expected prefix/);
  assert.throws(() => decodeProtobuf(envelope("v1", "Nothing", Buffer.alloc(0))), /no kind "Nothing" is registered/);
});
