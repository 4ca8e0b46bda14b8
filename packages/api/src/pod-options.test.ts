import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parsePodExecOptions,
  parsePodLogOptions,
  parsePodPortForwardOptions,
  podExecOptionsQuery,
} from "./pod-options.ts";

test("exec options: what kubectl sends comes back", () => {
  const query = new URLSearchParams("command=sh&command=-c&command=echo+a%26b&container=c&stdin=true&stdout=1&tty=");
  const options = parsePodExecOptions(query);
  assert.deepEqual(options, {
    command: ["sh", "-c", "echo a&b"],
    container: "c",
    stdin: true,
    stdout: true,
    stderr: false,
    tty: true,
  });
  assert.equal(
    podExecOptionsQuery(options).toString(),
    "command=sh&command=-c&command=echo+a%26b&container=c&stdin=true&stdout=true&tty=true",
  );
});
test("ports come repeated or with commas", () => {
  assert.deepEqual(parsePodPortForwardOptions(new URLSearchParams("ports=80,81&ports=82")).ports, [80, 81, 82]);
  for (const bad of ["0", "65536", "x", ""]) {
    assert.throws(() => parsePodPortForwardOptions(new URLSearchParams({ ports: bad })), { code: 400 });
  }
});
test("log options", () => {
  const options = parsePodLogOptions(new URLSearchParams("follow=true&tailLines=5&sinceTime=2020-01-01T00:00:00Z"));
  assert.equal(options.follow, true);
  assert.equal(options.tailLines, 5);
  assert.equal(options.sinceTime, "2020-01-01T00:00:00Z");
  assert.throws(() => parsePodLogOptions(new URLSearchParams("tailLines=x")), { code: 400 });
  for (const name of ["tailLines", "limitBytes", "sinceSeconds"]) {
    for (const number of ["99999999999999999999", "9223372036854775808", "-9223372036854775809", "1".repeat(100_000)]) {
      assert.throws(() => parsePodLogOptions(new URLSearchParams({ [name]: number })), {
        code: 400,
        message: `strconv.ParseInt: parsing "${number}": value out of range`,
      });
    }
  }
  const most = parsePodLogOptions(new URLSearchParams("tailLines=9223372036854775807"));
  assert.equal(String(most.tailLines), "9007199254740991");
});
