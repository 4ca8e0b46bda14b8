import assert from "node:assert/strict";
import { it } from "node:test";
import { commentsInASCII } from "./ascii.ts";

it("commentsInASCII: comments lose what is not ASCII, code may have none of it", () => {
  const text = 'a();\n  /** x — y */\n   * 🙂 z\n// é\nconst b = "\\u2014";\n';
  assert.equal(commentsInASCII(text, "f.cjs"), 'a();\n  /** x ? y */\n   * ? z\n// ?\nconst b = "\\u2014";\n');
  assert.equal(commentsInASCII("a();\n", "f.cjs"), "a();\n");
  assert.throws(
    () => commentsInASCII("a();\nconst b = /—/;", "f.cjs"),
    /f\.cjs: not ASCII, and not a comment: const b/,
  );
});
