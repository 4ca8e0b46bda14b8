import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pod, parsePodExecOptions, parsePodLogOptions } from "@hawser/api";
import { attachPath, execPath, logPath, portForwardPath } from "./kubelet-url.ts";

const pod: Pod = { metadata: { namespace: "default", name: "exec-test-nginx" } };
const streams = { stdin: true, stdout: true, stderr: false, tty: true };

for (const [name, path, want] of [
  [
    "exec as the post saw it",
    execPath(pod, "nginx", { ...streams, command: ["sh"] }),
    "/exec/default/exec-test-nginx/nginx?command=sh&input=1&output=1&tty=1",
  ],
  [
    "a command's parts keep their order and their characters",
    execPath(pod, "c", {
      stdin: false,
      stdout: true,
      stderr: true,
      tty: false,
      command: ["sh", "-c", "echo a&b=c +1", ""],
    }),
    "/exec/default/exec-test-nginx/c?command=sh&command=-c&command=echo+a%26b%3Dc+%2B1&command=&error=1&output=1",
  ],
  ["attach", attachPath(pod, "c", streams), "/attach/default/exec-test-nginx/c?input=1&output=1&tty=1"],
  ["port-forward", portForwardPath(pod, { ports: [] }), "/portForward/default/exec-test-nginx"],
  [
    "port-forward of the old WebSocket",
    portForwardPath(pod, { ports: [80, 81] }),
    "/portForward/default/exec-test-nginx?port=80%2C81",
  ],
  [
    "logs",
    logPath(pod, "c", parsePodLogOptions(new URLSearchParams("tailLines=0"))),
    "/containerLogs/default/exec-test-nginx/c?tailLines=0",
  ],
  [
    "from a query to a query",
    execPath(pod, "c", parsePodExecOptions(new URLSearchParams("command=cat&stdin=true&stdout=false&tty=0"))),
    "/exec/default/exec-test-nginx/c?command=cat&input=1",
  ],
] as const) {
  test(`kubelet path: ${name}`, () => {
    assert.equal(path, want);
  });
}
