import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { goJSON } from "./json.ts";
import { type Table, TablePrinter } from "./table.ts";
import { TabWriter } from "./tabwriter.ts";
import { visible } from "./visible.ts";
import { toYAML } from "./yaml.ts";

it("visible shows what a terminal would obey", () => {
  assert.equal(visible("a\u001b[31mb\rc\u0007\u009b\n\td\u007f"), "a^[[31mb\\rc^G\\u009b\n\td^?");
});

it("goJSON sorts keys and escapes as Go does", () => {
  assert.equal(
    goJSON({ b: 1, a: [true, null, { x: "<&>" }], c: {}, d: [] }),
    '{"a":[true,null,{"x":"\\u003c\\u0026\\u003e"}],"b":1,"c":{},"d":[]}',
  );
  assert.equal(goJSON({ b: [1], a: {} }, 4), '{\n    "a": {},\n    "b": [\n        1\n    ]\n}');
});

it("TabWriter pads all columns but the last, six wide at least", () => {
  const writer = new TabWriter();
  assert.equal(
    writer.format([
      ["NAME", "A", "AGE"],
      ["exec-test-nginx", "ü", "1s"],
    ]),
    "NAME              A     AGE\nexec-test-nginx   ü     1s\n",
  );
  assert.equal(writer.format([["b", "c", "2s"]]), "b                 c     2s\n");
});

const table: Table = {
  kind: "Table",
  apiVersion: "meta.k8s.io/v1",
  columnDefinitions: [
    { name: "Name", format: "name", priority: 0 },
    { name: "Status", priority: 0 },
    { name: "IP", priority: 1 },
  ],
  rows: [
    {
      cells: ["web", "Running\u001b[0m", "10.0.0.1"],
      object: { metadata: { namespace: "default", labels: { b: "2", a: "1" } } },
    },
    { cells: ["db", "two\nlines", null], object: { metadata: { namespace: "kube-system" } } },
  ],
};

describe("TablePrinter", () => {
  const cases: { name: string; options: ConstructorParameters<typeof TablePrinter>[0]; want: string }[] = [
    { name: "plain", options: {}, want: "NAME   STATUS\nweb    Running^[[0m\ndb     two...\n" },
    {
      name: "wide",
      options: { wide: true },
      want: "NAME   STATUS         IP\nweb    Running^[[0m   10.0.0.1\ndb     two...         \n",
    },
    { name: "without headers", options: { noHeaders: true }, want: "web   Running^[[0m\ndb    two...\n" },
    {
      name: "with namespace, kind and labels",
      options: { withNamespace: true, kind: "pod", showLabels: true, labelColumns: ["example.com/a", "a"] },
      want: [
        "NAMESPACE     NAME      STATUS         A        A        LABELS",
        "default       pod/web   Running^[[0m   <none>   1        a=1,b=2",
        "kube-system   pod/db    two...         <none>   <none>   <none>",
        "",
      ].join("\n"),
    },
  ];
  for (const { name, options, want } of cases) {
    it(name, () => assert.equal(new TablePrinter(options).print(table), want));
  }

  it("prints the header once, also where later tables leave the columns out", () => {
    const printer = new TablePrinter({});
    printer.print(table);
    assert.equal(
      printer.print({ ...table, columnDefinitions: null, rows: [{ cells: ["x", "y", "z"] }] }),
      "x      y\n",
    );
  });

  it("prints nothing for no rows", () => {
    assert.equal(new TablePrinter({}).print({ ...table, rows: [] }), "");
  });
});

describe("toYAML", () => {
  const cases: { name: string; value: unknown; want: string }[] = [
    {
      name: "sorted keys, lists at their key's depth",
      value: { b: [1, { y: 1, x: [] }], a: { c: null } },
      want: 'a:\n  c: null\nb:\n- 1\n- x: []\n  "y": 1\n',
    },
    { name: "lists in lists", value: [[1, 2], { a: [3] }], want: "- - 1\n  - 2\n- a:\n  - 3\n" },
    { name: "empty", value: {}, want: "{}\n" },
    {
      name: "what would be something else is quoted",
      value: ["", "true", "yes", "1", "1.5", "0x1f", "null", "~", "1e3", "2024-01-02T03:04:05Z", "12:30", "y"],
      want: ["", "true", "yes", "1", "1.5", "0x1f", "null", "~", "1e3", "2024-01-02T03:04:05Z", "12:30", "y"]
        .map((text) => `- "${text}"\n`)
        .join(""),
    },
    {
      name: "what YAML would trip over is quoted",
      value: ["a: b", "- x", "*a", " a", "a #b", "it's", "'q'", "@x", "a:b", "-x"],
      want: "- 'a: b'\n- '- x'\n- '*a'\n- ' a'\n- 'a #b'\n- it's\n- '''q'''\n- '@x'\n- a:b\n- -x\n",
    },
    {
      name: "many lines",
      value: { a: "one\ntwo\n", b: "one\n\ntwo", c: { d: "x\n\n" } },
      want: "a: |\n  one\n  two\nb: |-\n  one\n\n  two\nc:\n  d: |+\n    x\n\n",
    },
    {
      name: "long lines fold at a space",
      value: { k: `${"a".repeat(70)} ${"b".repeat(12)} cc`, q: `x: ${"a".repeat(90)} b` },
      want: `k: ${"a".repeat(70)} ${"b".repeat(12)}\n  cc\nq: 'x: ${"a".repeat(90)}\n  b'\n`,
    },
    { name: "keys with numbers", value: { k10: 1, k9: 1, "k.": 1, ka: 1 }, want: "k.: 1\nk9: 1\nk10: 1\nka: 1\n" },
    { name: "a first line that is indented", value: { a: " x\ny" }, want: "a: |2-\n   x\n  y\n" },
    {
      name: "control characters",
      value: "a\u001bb\tc",
      want: '"a\\eb\\tc"\n',
    },
  ];
  for (const { name, value, want } of cases) it(name, () => assert.equal(toYAML(value), want));
});
