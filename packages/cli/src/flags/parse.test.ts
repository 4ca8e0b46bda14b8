import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { duration, formatDuration, integer, parseDuration, slice, text, texts, toggle } from "./flag.ts";
import { commandHelp } from "./help.ts";
import { FlagError, parseFlags } from "./parse.ts";

const table = {
  stdin: toggle({ short: "i", usage: "Pass stdin" }),
  tty: toggle({ short: "t", usage: "A terminal" }),
  container: text({ short: "c", usage: "Container" }),
  tail: integer({ usage: "Lines" }, -1),
  env: texts({ usage: "Environment" }),
  address: slice({ usage: "Addresses" }, ["localhost"]),
  "dry-run": text({ usage: "Dry run" }, "none", { bare: "unchanged" }),
  timeout: duration({ usage: "Timeout" }, 60_000),
};
const initial = {
  stdin: false,
  tty: false,
  container: "",
  tail: -1,
  env: [],
  address: ["localhost"],
  "dry-run": "none",
  timeout: 60_000,
};

const good: { line: string; flags?: Partial<typeof initial>; args?: string[]; dash?: number }[] = [
  { line: "", args: [] },
  { line: "a -i b", flags: { stdin: true }, args: ["a", "b"] },
  { line: "-itc web p", flags: { stdin: true, tty: true, container: "web" }, args: ["p"] },
  { line: "-itcweb", flags: { stdin: true, tty: true, container: "web" } },
  { line: "-c=web", flags: { container: "web" } },
  { line: "-c -- p", flags: { container: "--" }, args: ["p"] },
  { line: "--container web --container=db", flags: { container: "db" } },
  { line: "--container=a=b", flags: { container: "a=b" } },
  { line: "-i=false -t", flags: { tty: true } },
  { line: "--stdin=T", flags: { stdin: true } },
  { line: "p -- ls -i --foo", args: ["p", "ls", "-i", "--foo"], dash: 1 },
  { line: "-- ls", args: ["ls"], dash: 0 },
  { line: "p --", args: ["p"], dash: 1 },
  { line: "- p", args: ["-", "p"] },
  { line: "--tail -5", flags: { tail: -5 } },
  { line: "--env A=1 --env=B=2,3", flags: { env: ["A=1", "B=2,3"] as never[] } },
  { line: "--address 1.1.1.1,localhost --address ::1", flags: { address: ["1.1.1.1", "localhost", "::1"] } },
  { line: "--dry_run client", flags: { "dry-run": "unchanged" }, args: ["client"] },
  { line: "--dry-run=client", flags: { "dry-run": "client" } },
  { line: "--timeout 1m30s", flags: { timeout: 90_000 } },
];

describe("parseFlags reads what pflag reads", () => {
  for (const { line, flags, args = [], dash } of good) {
    it(line || "nothing", () => {
      const parsed = parseFlags(table, line.split(" ").filter(Boolean));
      assert.deepEqual(parsed.flags, { ...initial, ...flags });
      assert.deepEqual(parsed.args, args);
      assert.equal(parsed.argsBeforeDash, dash);
    });
  }

  it("tells which flags were given, and help", () => {
    const { changed, help } = parseFlags(table, ["--stdin=false", "-ht"]);
    assert.deepEqual([...changed], ["stdin", "tty"]);
    assert.equal(help, true);
  });
});

const bad: { line: string; want: string }[] = [
  { line: "--foo", want: "unknown flag: --foo" },
  { line: "--foo=1", want: "unknown flag: --foo" },
  { line: "--toString", want: "unknown flag: --toString" },
  { line: "-xyz", want: "unknown shorthand flag: 'x' in -xyz" },
  { line: "-ix", want: "unknown shorthand flag: 'x' in -ix" },
  { line: "-c", want: "flag needs an argument: 'c' in -c" },
  { line: "-ic", want: "flag needs an argument: 'c' in -ic" },
  { line: "--container", want: "flag needs an argument: --container" },
  { line: "--=x", want: "bad flag syntax: --=x" },
  { line: "---x", want: "bad flag syntax: ---x" },
  { line: "-i=x", want: 'invalid argument "x" for "-i, --stdin" flag: strconv.ParseBool: parsing "x": invalid syntax' },
  { line: "--tail x", want: 'invalid argument "x" for "--tail" flag: strconv.ParseInt: parsing "x": invalid syntax' },
  { line: "--timeout 5", want: 'invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"' },
  { line: "--timeout 5x", want: 'invalid argument "5x" for "--timeout" flag: time: unknown unit "x" in duration "5x"' },
];

describe("parseFlags refuses in pflag's words", () => {
  for (const { line, want } of bad) {
    it(line, () => {
      assert.throws(
        () => parseFlags(table, line.split(" ")),
        (error) => {
          assert.ok(error instanceof FlagError);
          assert.equal(error.message, want);
          return true;
        },
      );
    });
  }
});

it("durations come and go in Go's form", () => {
  for (const [value, milliseconds] of [
    ["1m0s", 60_000],
    ["1h0m5s", 3_605_000],
    ["20s", 20_000],
    ["500ms", 500],
    ["0s", 0],
  ] as const) {
    assert.equal(parseDuration(value), milliseconds);
    assert.equal(formatDuration(milliseconds), value);
  }
  assert.equal(parseDuration("-1.5s"), -1500);
  assert.throws(() => parseDuration(""), /invalid duration ""/);
});

it("commandHelp shows each flag of the table", () => {
  const help = commandHelp({
    path: "hawser exec",
    use: "exec POD",
    long: "Runs.",
    examples: "# one\nhawser exec p",
    flags: table,
  });
  assert.match(help, /^Runs\.\n\nExamples:\n {2}# one\n {2}hawser exec p\n\nOptions:\n/);
  assert.match(help, /\n {4}-c, --container='':\n\tContainer\n\n {4}--dry-run='none':\n\tDry run\n/);
  assert.match(help, /\nUsage:\n {2}hawser exec POD \[options\]\n\nUse "hawser options" for a list/);
});
