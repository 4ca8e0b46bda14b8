import assert from "node:assert/strict";
import { test } from "node:test";
import { negotiate } from "./negotiate.ts";

const table = ({ as }: { as?: { kind: string } }) => as === undefined || as.kind === "Table";
const cases: { accept: string | undefined; want: string }[] = [
  { accept: undefined, want: "application/json" },
  { accept: "*/*", want: "application/json" },
  { accept: "application/yaml", want: "application/yaml" },
  { accept: "application/vnd.kubernetes.protobuf,application/json", want: "application/json" },
  { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", want: "application/json Table/v1" },
  { accept: "application/json;as=Other;v=v1;g=meta.k8s.io, application/json", want: "application/json" },
  { accept: "application/json;q=0.5,application/yaml", want: "application/yaml" },
  { accept: "application/json;stream=watch", want: "application/json" },
];
for (const { accept, want } of cases) {
  test(`negotiate: ${accept}`, () => {
    const { mediaType, as } = negotiate(accept, table);
    assert.equal(as ? `${mediaType} ${as.kind}/${as.version}` : mediaType, want);
  });
}
test("negotiate: protobuf alone is not acceptable", () => {
  assert.throws(() => negotiate("application/vnd.kubernetes.protobuf"), { code: 406 });
});
