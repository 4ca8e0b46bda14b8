import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, type Fields } from "./log.ts";

function logged(verbosity = 0) {
  const lines: string[] = [];
  const sink = { write: (line: string) => lines.push(line) };
  const now = () => new Date(2026, 10, 22, 15, 4, 5, 6);
  return { lines, log: createLogger({ sink, verbosity, name: "kubelet", now }) };
}

test("a line has klog's form", () => {
  const { lines, log } = logged();
  log.info("ready", { port: 10250 });
  assert.equal(lines[0], `I1122 15:04:05.006000 ${String(process.pid).padStart(7)} kubelet] ready port=10250\n`);
});

const values: { name: string; fields: Fields; want: string }[] = [
  { name: "text", fields: { a: 'say "hi"' }, want: 'a="say \\"hi\\""' },
  { name: "a newline cannot forge a line", fields: { a: "x\nE1122" }, want: 'a="x\\nE1122"' },
  { name: "nor can a C1 control steer a terminal", fields: { a: "\u009b31m\u007f" }, want: 'a="\\u009b31m\\u007f"' },
  { name: "an error is its message", fields: { error: new Error("no\u0085such") }, want: 'error="no\\u0085such"' },
  { name: "numbers and booleans stand bare", fields: { a: 1, b: true, c: 2n }, want: "a=1 b=true c=2" },
  { name: "undefined", fields: { a: undefined }, want: "a=null" },
  { name: "a list", fields: { a: ["x", 1] }, want: 'a=["x",1]' },
];
for (const { name, fields, want } of values) {
  test(`fields: ${name}`, () => {
    const { lines, log } = logged();
    log.warn("message\nforged", fields);
    assert.ok(lines[0]?.endsWith(`] message\\nforged ${want}\n`), lines[0]);
  });
}

test("a level is shown from its verbosity on, and its fields are worked out only then", () => {
  const { lines, log } = logged(4);
  let asked = 0;
  const fields = () => ({ asked: ++asked });
  log.at(5, "hidden", fields);
  log.named("proxy").at(4, "shown", fields);
  assert.deepEqual([lines.length, asked, log.v(4), log.v(5)], [1, 1, true, false]);
  assert.match(lines[0] ?? "", / proxy\] shown asked=1$/m);
});

test("a verbosity that is asked for changes all loggers made of the first", () => {
  let verbosity = 0;
  const lines: string[] = [];
  const log = createLogger({ sink: { write: (line) => lines.push(line) }, verbosity: () => verbosity });
  const part = log.named("part");
  part.at(2, "before");
  verbosity = 2;
  part.at(2, "after");
  assert.deepEqual([lines.length, part.v(2), log.v(3)], [1, true, false]);
});
