import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");

test("the path in eight files: each exists, says its step in its first line, and names its neighbours", async () => {
  const page = await readFile(join(root, "docs/architecture.md"), "utf8");
  const steps = [...page.matchAll(/^### (\d)\. \[([^\]]+)\]\(\.\.\/([^)]+)\)$/gm)];
  assert.deepEqual(
    steps.map(([, step]) => step),
    ["1", "2", "3", "4", "5", "6", "7", "8"],
  );
  const files = steps.map(([, , title, link]) => {
    assert.equal(title, link);
    return link ?? "";
  });
  const short = (file = "") => file.replace(/^packages\//, "");
  for (const [index, file] of files.entries()) {
    const [first = ""] = (await readFile(join(root, file), "utf8")).split("\n");
    assert.ok(first.startsWith(`// Step ${index + 1} of 8.`), `${file} begins with: ${first}`);
    if (index > 0) assert.ok(first.includes(`Before: ${short(files[index - 1])}`), `${file}: the step before`);
    if (index < 7) assert.ok(first.includes(`After: ${short(files[index + 1])}`), `${file}: the step after`);
  }
});
