// docs/client-node.md: each row of its table is shown here, against the genuine package.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { checkout } from "@hawser/testing";
import { identity } from "./lacks/identity.ts";
import { others } from "./lacks/others.ts";
import { sessions } from "./lacks/sessions.ts";

const rows = [...sessions, ...others, ...identity];

describe("what @kubernetes/client-node lacks", () => {
  for (const { title, show } of rows) it(title, show);

  it("is what docs/client-node.md says, row by row", async () => {
    const document = await readFile(join(checkout, "docs/client-node.md"), "utf8");
    const table = document.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| ---"));
    assert.deepEqual(
      table.slice(1),
      rows.map(({ title, theirs, ours }) => `| ${title} | ${theirs} | ${ours} |`),
    );
  });
});
