import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions, peerNames, UsageAnswer } from "./options.ts";

test("bench: everything, unless sections and contestants are named", () => {
  const all = parseOptions([]);
  assert.deepEqual([all.runs, all.wants("floor"), all.peers], [30, true, [...peerNames]]);
  const some = parseOptions(["--quick", "--only", "data", "--only=loop", "--peer", "runc"]);
  assert.deepEqual([some.runs, some.wants("data"), some.wants("loop"), some.wants("cri")], [5, true, true, false]);
  assert.deepEqual(some.peers, ["Hawser + runc", "containerd + runc"]);
});

test("bench --help names all options and sections", () => {
  assert.throws(
    () => parseOptions(["--help"]),
    (error: unknown) => {
      assert.ok(error instanceof UsageAnswer && error.exitCode === 0);
      for (const word of ["--quick", "--only", "--peer", "daemons", "containerd + crun"]) {
        assert.ok(error.message.includes(word), word);
      }
      return true;
    },
  );
});

for (const [args, words] of [
  [["--quik"], /--quik/],
  [["data"], /data/],
  [["--only", "date"], /--only date: the sections are floor, /],
  [["--only"], /--only/],
  [["--peer", "podman"], /--peer podman: the contestants are Hawser \+ crun, /],
] as const) {
  test(`bench refuses ${args.join(" ")}`, () => {
    assert.throws(
      () => parseOptions(args),
      (error: unknown) => error instanceof UsageAnswer && error.exitCode === 2 && words.test(error.message),
    );
  });
}
