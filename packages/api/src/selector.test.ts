import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesFields, matchesLabels, parseFieldSelector, parseLabelSelector } from "./selector.ts";

const labels = { app: "web", tier: "front", size: "7", "example.com/x": "" };
const cases: { selector: string; want: boolean }[] = [
  { selector: "", want: true },
  { selector: "app=web", want: true },
  { selector: "app==web,tier=front", want: true },
  { selector: "app = web , tier != back", want: true },
  { selector: "app!=web", want: false },
  { selector: "other!=x", want: true },
  { selector: "app in (web, db)", want: true },
  { selector: "app notin (web,db)", want: false },
  { selector: "other notin (x)", want: true },
  { selector: "app", want: true },
  { selector: "!app", want: false },
  { selector: "!other,app", want: true },
  { selector: "size>6,size<8", want: true },
  { selector: "app>1", want: false },
  { selector: "example.com/x=", want: true },
  { selector: "constructor", want: false },
];
for (const { selector, want } of cases) {
  test(`matchesLabels: ${selector || "(empty)"}`, () => {
    assert.equal(matchesLabels(parseLabelSelector(selector), labels), want);
  });
}
for (const bad of ["a=b=c", "a in b", "a in (b", "=x", "a,", "a>b", "a b", "_=1", "a=-"]) {
  test(`parseLabelSelector: ${bad} is refused`, () => {
    assert.throws(() => parseLabelSelector(bad), { name: "StatusError", code: 400 });
  });
}

test("parseFieldSelector: operators and escapes", () => {
  assert.deepEqual(parseFieldSelector("a.b=c,d!=e,f==g,h=x\\,y\\=z\\\\"), [
    { field: "a.b", op: "=", value: "c" },
    { field: "d", op: "!=", value: "e" },
    { field: "f", op: "=", value: "g" },
    { field: "h", op: "=", value: "x,y=z\\" },
  ]);
  assert.throws(() => parseFieldSelector("nothing"), { code: 400 });
});
test("matchesFields: a missing field is empty", () => {
  const fields = { "spec.nodeName": "", "metadata.name": "a" };
  assert.equal(matchesFields(parseFieldSelector("spec.nodeName=,metadata.name=a"), fields), true);
  assert.equal(matchesFields(parseFieldSelector("spec.nodeName!="), fields), false);
});
