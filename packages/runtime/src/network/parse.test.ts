import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNetwork, parseNetwork, parsePlugin } from "./parse.ts";

const list = (more: object) =>
  JSON.stringify({ name: "n", cniVersion: "1.0.0", plugins: [{ type: "bridge" }], ...more });
const plugin = (more: object) => list({ plugins: [{ type: "bridge", ...more }] });

test("parseNetwork: a list, with what is the plugins' alone", () => {
  const given = {
    type: "bridge",
    ipam: { type: "host-local", x: [1] },
    capabilities: { portMappings: true },
    x: { y: 1 },
  };
  assert.deepEqual(parseNetwork(plugin(given), { isList: true }), {
    name: "n",
    cniVersion: "1.0.0",
    plugins: [given],
    isOpen: true,
  });
  assert.equal(parseNetwork(list({ loadOnlyInlinedPlugins: true }), { isList: true }).isOpen, false);
});

test("parseNetwork: one plugin alone", () => {
  const given = { name: "n", type: "ptp", ipam: {} };
  const wanted = { name: "n", cniVersion: "0.1.0", plugins: [given], isOpen: false };
  assert.deepEqual(parseNetwork(JSON.stringify(given), { isList: false }), wanted);
  assert.deepEqual(parsePlugin('{"type":"ptp"}'), { type: "ptp" });
});

const versions: { given: object; want: string }[] = [
  { given: { cniVersion: "0.3.1" }, want: "0.3.1" },
  { given: { cniVersion: undefined }, want: "0.1.0" },
  { given: { cniVersion: "" }, want: "0.1.0" },
  { given: { cniVersion: "0.4.0", cniVersions: ["1.0.0", "1.1.0", "1.2.0", "0.10.0"] }, want: "1.1.0" },
  { given: { cniVersion: undefined, cniVersions: ["0.4.0", "0.10.0"] }, want: "0.10.0" },
  { given: { cniVersion: "9.0.0" }, want: "9.0.0" }, // the plugin says what it thinks of that
];
for (const { given, want } of versions) {
  test(`parseNetwork: of versions ${JSON.stringify(given)}, ${want}`, () => {
    assert.equal(parseNetwork(list(given), { isList: true }).cniVersion, want);
  });
}

const refused: { name: string; text: string; isList?: boolean; message: RegExp }[] = [
  { name: "half a file", text: list({}).slice(0, 40), message: /JSON/ },
  { name: "an empty file", text: "", message: /JSON/ },
  { name: "no object", text: "[]", message: /the file is no object/ },
  { name: "no name", text: '{"plugins":[]}', message: /name has to be .* not nothing/ },
  { name: "a name that is a path", text: list({ name: "../x" }), message: /name has to be/ },
  { name: "a name of 300", text: list({ name: "x".repeat(300) }), message: /name has to be/ },
  { name: "plugins that are no list", text: list({ plugins: {} }), message: /plugins is no list/ },
  { name: "a plugin that is no object", text: list({ plugins: [1] }), message: /plugin 0 is no object/ },
  { name: "a plugin without type", text: list({ plugins: [{}] }), message: /type of plugin 0 .* not nothing/ },
  { name: "a type that is a path", text: plugin({ type: "../../bin/sh" }), message: /type of plugin 0 .*bin\/sh/ },
  { name: "a type that leads up", text: plugin({ type: ".." }), message: /type of plugin 0/ },
  { name: "an ipam that is a path", text: plugin({ ipam: { type: "a/b" } }), message: /type of ipam of plugin 0/ },
  { name: "an ipam that is no object", text: plugin({ ipam: "x" }), message: /ipam of plugin 0 is no object/ },
  { name: "capabilities of words", text: plugin({ capabilities: { a: "yes" } }), message: /not all true or false/ },
  { name: "a version that is none", text: list({ cniVersion: "one" }), message: /not "one"/ },
  { name: "versions that are no list", text: list({ cniVersions: "1.0.0" }), message: /cniVersions/ },
  { name: "a flag that is none", text: list({ loadOnlyInlinedPlugins: 1 }), message: /loadOnlyInlinedPlugins/ },
  { name: "a list as a plugin", text: list({}), isList: false, message: /has to be in a \*\.conflist/ },
];
for (const { name, text, isList = true, message } of refused) {
  test(`parseNetwork: ${name} is refused`, () => assert.throws(() => parseNetwork(text, { isList }), { message }));
}

test("checkNetwork: no plugins, too many, and what is nested too deep to be written", () => {
  const of = (plugins: string) => parseNetwork(`{"name":"n","plugins":[${plugins}]}`, { isList: true });
  assert.throws(() => checkNetwork(of("")), /no plugins/);
  assert.throws(() => checkNetwork(of(Array.from({ length: 33 }, () => '{"type":"a"}').join(","))), /33 plugins/);
  const deep = `{"type":"a","x":${"[".repeat(15_000)}${"]".repeat(15_000)}}`;
  assert.throws(() => checkNetwork(of(deep)), RangeError);
  checkNetwork(of('{"type":"a"}'));
});
