import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parse, stringify } from "yaml";
import { parseSimpleYAML } from "./simple-yaml.ts";

const kubeconfig = `# written by hand
apiVersion: v1
kind: Config
preferences: {}
current-context: admin@hawser
clusters:
- name: hawser
  cluster:
    # where it is
    server: https://127.0.0.1:6443
    certificate-authority-data: LS0tLS1CRUdJTg==
    insecure-skip-tls-verify: false
contexts:
  - context:
      cluster: hawser
      user: "admin"
      namespace: 'apps'
    name: admin@hawser
users:
- name: admin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./plugin
      args:
      - --verbose
      - get
      env: null
`;

describe("parseSimpleYAML", () => {
  it("reads a kubeconfig as the library does", () => {
    // The plugin's relative command and its flag begin with what only the library may judge.
    const simple = kubeconfig.replace("./plugin", "plugin").replace("--verbose", "verbose");
    assert.notEqual(parseSimpleYAML(simple), undefined);
    assert.deepEqual(parseSimpleYAML(simple), parse(simple));
  });

  for (const text of [
    "",
    "a: [1]",
    "a: &x b",
    "a: |\n  b",
    "a: b\n  c",
    "a: 1.5",
    "a: yes",
    "a: 012",
    "a: 2024-01-01",
    'a: "b\\n"',
    "a: b # c",
    "a: b\na: c",
    "---\na: b",
    "- a\n- - b",
    "a:\n\tb: c",
    "a: 'it''s'",
    "? a\n: b",
    "a: b: c",
    " a: b\nc: d",
    "a:\n  b: c\n d: e",
    "- a\nb: c",
    "a: !x b",
    "y: b",
  ]) {
    it(`leaves to the library: ${JSON.stringify(text)}`, () => assert.equal(parseSimpleYAML(text), undefined));
  }

  it("never reads anything otherwise than the library", () => {
    const scalar = fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.constantFrom(
        "yes",
        "1",
        "1.5",
        "~",
        "a:b",
        "a: b",
        "#",
        "x #",
        "- a",
        "true",
        "0x1",
        "01",
        "",
        " ",
        "é",
        "=",
        "<<",
        "1:30",
      ),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie("tree"), { maxLength: 3 }),
        fc.dictionary(fc.oneof(fc.constantFrom("name", "user", "on"), fc.string({ maxLength: 5 })), tie("tree"), {
          maxKeys: 3,
        }),
      ),
    }));
    fc.assert(
      fc.property(tree, fc.boolean(), (value, indentSeq) => {
        const text = stringify(value, { indentSeq });
        const simple = parseSimpleYAML(text);
        if (simple !== undefined) assert.deepEqual(simple, parse(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("never reads mangled text otherwise than the library", () => {
    const cuts = fc.array(
      fc.tuple(
        fc.nat(kubeconfig.length),
        fc.nat(4),
        fc.constantFrom("", " ", "  ", "\n", "-", "- ", ":", ": ", "#", "'", '"', "[", "{}", "a"),
      ),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(cuts, (edits) => {
        let text = kubeconfig;
        for (const [at, remove, insert] of edits) text = text.slice(0, at) + insert + text.slice(at + remove);
        const simple = parseSimpleYAML(text);
        if (simple !== undefined) assert.deepEqual(simple, parse(text));
      }),
      { numRuns: 5000 },
    );
  });
});
