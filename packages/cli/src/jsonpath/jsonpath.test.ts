import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findValues, printTemplate } from "./evaluate.ts";
import { parseRelaxed, parseTemplate } from "./parse.ts";

const data = {
  kind: "List",
  items: [
    {
      kind: "Pod",
      metadata: { name: "a", labels: { "app.kubernetes.io/name": "web", x: "1" } },
      status: {
        ready: true,
        restarts: 3,
        conditions: [
          { type: "Ready", status: "True" },
          { type: "Other", status: "False" },
        ],
      },
    },
    {
      kind: "Pod",
      metadata: { name: "b" },
      status: { ready: false, restarts: 10, conditions: [{ type: "Ready", status: "False" }] },
    },
    { kind: "Node", metadata: { name: "c" }, status: { daemonEndpoints: { kubeletEndpoint: { Port: 10250 } } } },
  ],
};

const cases: { template: string; want: string }[] = [
  { template: "plain text", want: "plain text" },
  { template: "kind is {.kind}", want: "kind is List" },
  { template: "{@.kind}{$.kind}", want: "ListList" },
  { template: "{.items[*].metadata.name}", want: "a b c" },
  { template: "{.items[0].metadata.name} {.items[-1].metadata.name}", want: "a c" },
  { template: "{.items[0:2].metadata.name}", want: "a b" },
  { template: "{.items[-2:].metadata.name}", want: "b c" },
  { template: "{.items[::2].metadata.name}", want: "a c" },
  { template: "{.items[0,2].metadata.name}", want: "a c" },
  { template: "{.items[*]['metadata.name', 'kind']}", want: "Pod Pod Node" },
  {
    template: "{.items[*]['kind','metadata']}",
    want: 'Pod Pod Node {"labels":{"app.kubernetes.io/name":"web","x":"1"},"name":"a"} {"name":"b"} {"name":"c"}',
  },
  { template: '{range .items[*]}{.metadata.name}{"\\t"}{.kind}{"\\n"}{end}', want: "a\tPod\nb\tPod\nc\tNode\n" },
  {
    template: "{range .items[*]}{.metadata.name}:{range .status.conditions[*]}{.type},{end};{end}.",
    want: "a:Ready,Other,;b:Ready,;c:;.",
  },
  { template: "{range .nothing[*]}x{end}y", want: "y" },
  { template: '{.items[?(@.metadata.name=="b")].kind}', want: "Pod" },
  { template: "{.items[?(@.metadata.name!='b')].metadata.name}", want: "a c" },
  { template: '{.items[?(@.kind == "Node")].metadata.name}', want: "c" },
  { template: "{.items[?(@.status.restarts>3)].metadata.name}", want: "b" },
  { template: "{.items[?(@.status.restarts<=3)].metadata.name}", want: "a" },
  { template: "{.items[?(@.status.ready==true)].metadata.name}", want: "a" },
  { template: "{.items[?(@.metadata.labels)].metadata.name}", want: "a" },
  { template: '{.items[0].status.conditions[?(@.type=="Ready")].status}', want: "True" },
  { template: '{.items[?(@.metadata.name=="a)]")].kind}', want: "" },
  { template: "{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", want: "web" },
  { template: "{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", want: "web" },
  { template: "{.items[0].metadata.labels}", want: '{"app.kubernetes.io/name":"web","x":"1"}' },
  { template: "{.items[2].status.daemonEndpoints.kubeletEndpoint}", want: '{"Port":10250}' },
  { template: "{.items[2].status.daemonEndpoints.kubeletEndpoint.Port}", want: "10250" },
  { template: "{..name}", want: "a b c" },
  { template: "{.items[*].metadata.labels.*}", want: "web 1" },
  { template: "{.missing.field}", want: "" },
  { template: '{"quoted \\"text\\""}', want: 'quoted "text"' },
  { template: "{'single'}", want: "single" },
  { template: "{.items[1].status.ready} {.items[1].status.restarts}", want: "false 10" },
  { template: '{"}"}', want: "}" },
];

describe("JSONPath", () => {
  for (const { template, want } of cases) {
    it(template, () => assert.equal(printTemplate(parseTemplate(template), data), want));
  }
});

const bad: { template: string; want: string }[] = [
  { template: "{.a", want: "unclosed action" },
  { template: "{.a[0}", want: "unterminated array" },
  { template: "{.a[x]}", want: "invalid array index x" },
  { template: "{.a[?(@.b=='c')}", want: "unclosed array expect ]" },
  { template: "{end}", want: "not in range, nothing to end" },
  { template: "{foo}", want: "unrecognized identifier foo" },
  { template: "{'a}", want: "unclosed action" },
  { template: "{.items[9]}", want: "array index out of bounds: index 9, length 3" },
  { template: "{.kind[0]}", want: "string is not array or slice" },
  { template: "{....a}", want: "invalid multiple recursive descent" },
];

describe("JSONPath refuses", () => {
  for (const { template, want } of bad) {
    it(template, () => {
      assert.throws(() => printTemplate(parseTemplate(template), data), { name: "JSONPathError", message: want });
    });
  }

  it("a missing field, where it is asked to", () => {
    assert.throws(() => printTemplate(parseTemplate("{.x}"), data, { strict: true }), { message: "x is not found" });
  });
});

it("parseRelaxed takes paths with and without braces and dot", () => {
  for (const path of ["metadata.name", ".metadata.name", "{metadata.name}", "{.metadata.name}"]) {
    assert.deepEqual(findValues(parseRelaxed(path), data.items[0]), ["a"]);
  }
  assert.throws(() => parseRelaxed("{a"), /unexpected path string/);
});
