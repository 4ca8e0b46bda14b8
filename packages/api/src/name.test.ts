import assert from "node:assert/strict";
import { test } from "node:test";
import { checkDNSLabel, checkDNSSubdomain, checkQualifiedName, isLabelValue } from "./name.ts";

test("checkDNSLabel says what the real server says", () => {
  assert.deepEqual(checkDNSLabel("a-1"), []);
  assert.deepEqual(checkDNSLabel("A"), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.deepEqual(checkDNSLabel("a".repeat(64)), ["must be no more than 63 characters"]);
});
for (const [value, want] of [
  ["example.com/a", 0],
  ["a/b/c", 1],
  ["/a", 1],
  ["a b", 1],
  ["UPPER.ok_1", 0],
] as const) {
  test(`checkQualifiedName: ${value}`, () => assert.equal(checkQualifiedName(value).length, want));
}
test("subdomains and label values", () => {
  assert.deepEqual(checkDNSSubdomain("a.b-c.d"), []);
  assert.equal(checkDNSSubdomain("a..b").length, 1);
  assert.equal(isLabelValue(""), true);
  assert.equal(isLabelValue("-x"), false);
});
