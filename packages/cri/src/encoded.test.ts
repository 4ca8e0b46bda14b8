import assert from "node:assert/strict";
import { it } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { methodDefinition } from "./definition.ts";
import { encodeMessage, joinMessages, listEncoder } from "./encoded.ts";
import { ListContainersResponseSchema, ListPodSandboxResponseSchema, RuntimeService } from "./gen/cri_pb.ts";

const describe = ({ id, labels }: { id: string; labels: Record<string, string> }) => ({
  containers: [{ id, labels, metadata: { name: `of ${id}`, attempt: 2 }, createdAt: 2n ** 62n }],
});

it("listEncoder: the bytes of a list are those of the whole message, and each object is described once", () => {
  const described: string[] = [];
  const encode = listEncoder(ListContainersResponseSchema, (item: { id: string; labels: Record<string, string> }) => {
    described.push(item.id);
    return describe(item);
  });
  const items = [
    { id: "a", labels: { one: "1", two: "ä".repeat(300) } },
    { id: "b".repeat(20_000), labels: {} },
    { id: "", labels: {} },
  ];
  const [first, second, third] = items;
  assert.ok(first && second && third);
  const whole = (of: typeof items) =>
    toBinary(
      ListContainersResponseSchema,
      create(ListContainersResponseSchema, { containers: of.flatMap((item) => describe(item).containers) }),
    );
  for (const list of [items, [third, first], [], items]) {
    assert.ok(encode(list).bytes.equals(whole(list)), `${list.length} items`);
  }
  assert.deepEqual(
    described,
    items.map(({ id }) => id),
  );
  const changed = { ...first, id: "c" };
  const { containers } = fromBinary(ListContainersResponseSchema, encode([changed, second]).bytes);
  assert.deepEqual(
    containers.map(({ id }) => id),
    ["c", second.id],
  );
});

it("a method's answer may be in bytes", () => {
  const { responseSerialize } = methodDefinition(RuntimeService.method.listContainers, "v1alpha2");
  const message = describe({ id: "a", labels: {} });
  const encode = listEncoder(ListContainersResponseSchema, () => message);
  const plain = create(ListContainersResponseSchema, message);
  assert.ok(responseSerialize(encode([{}]) as unknown as typeof plain).equals(responseSerialize(plain)));
});

it("a method's answer in bytes is of its own message", () => {
  const { responseSerialize } = methodDefinition(RuntimeService.method.listContainers, "v1");
  const bytes = encodeMessage(ListPodSandboxResponseSchema, { items: [{ id: "a" }] }) as unknown;
  assert.throws(
    () => responseSerialize(bytes as ReturnType<typeof create<typeof ListContainersResponseSchema>>),
    /bytes of runtime.v1.ListPodSandboxResponse where runtime.v1.ListContainersResponse/,
  );
});

it("joinMessages: the lists of all parts, in their order", () => {
  const parts = ["a", "b", "c"].map((id) =>
    encodeMessage(ListContainersResponseSchema, describe({ id, labels: { of: id } })),
  );
  const { containers } = fromBinary(
    ListContainersResponseSchema,
    joinMessages(ListContainersResponseSchema, parts).bytes,
  );
  assert.deepEqual(
    containers.map(({ id, labels }) => [id, labels]),
    ["a", "b", "c"].map((id) => [id, { of: id }]),
  );
  assert.equal(joinMessages(ListContainersResponseSchema, []).bytes.length, 0);
});
