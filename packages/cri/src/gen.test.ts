import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { create, ExecRequestSchema, ExecSyncRequestSchema, PodSandboxConfigSchema } from "./index.ts";

test("the committed generated code belongs to the committed proto", async () => {
  const proto = await readFile(new URL("../proto/cri.proto", import.meta.url));
  const recorded = await readFile(new URL("./gen/cri.proto.sha256", import.meta.url), "utf8");
  assert.equal(recorded.trim(), createHash("sha256").update(proto).digest("hex"), "run `make generate`");
});

const cases = [
  {
    name: "ExecRequest: container_id 1, cmd 2, tty 3, stdin 4, stdout 5",
    bytes: () =>
      toBinary(
        ExecRequestSchema,
        create(ExecRequestSchema, { containerId: "c", cmd: ["a", "b"], tty: true, stdin: true, stdout: true }),
      ),
    hex: "0a0163 120161 120162 1801 2001 2801",
  },
  {
    name: "ExecSyncRequest: timeout 3, int64",
    bytes: () => toBinary(ExecSyncRequestSchema, create(ExecSyncRequestSchema, { timeout: 300n })),
    hex: "18ac02",
  },
  {
    name: "PodSandboxConfig: metadata 1 {name 1, uid 2, namespace 3, attempt 4}, linux 8 {cgroup_parent 1}",
    bytes: () =>
      toBinary(
        PodSandboxConfigSchema,
        create(PodSandboxConfigSchema, {
          metadata: { name: "n", uid: "u", namespace: "s", attempt: 1 },
          linux: { cgroupParent: "/" },
        }),
      ),
    hex: "0a0b 0a016e 120175 1a0173 2001 4203 0a012f",
  },
];
for (const { name, bytes, hex } of cases) {
  test(name, () => assert.equal(Buffer.from(bytes()).toString("hex"), hex.replaceAll(" ", "")));
}
