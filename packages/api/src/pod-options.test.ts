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
});
