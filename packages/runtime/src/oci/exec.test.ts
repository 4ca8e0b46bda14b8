import assert from "node:assert/strict";
import { test } from "node:test";
import { type ExecDependencies, type ExecOptions, execInContainer } from "./exec.ts";

test("execInContainer: a client that goes while hawser-exec takes nothing has its command begun by nobody", async () => {
  const client = new AbortController();
  const gone = new Error("the client has gone");
  let removed = false;
  const dependencies = {
    groups: { open: () => ({ directory: "/no/group", remove: async () => (removed = true) }) },
    helper: {
      placeOf: async () => ({ cgroups: [] }),
      async enter() {
        client.abort(gone);
        return undefined;
      },
    },
    graceMs: 0,
    drainMs: 0,
  } as unknown as ExecDependencies; // without an OCI runtime: asked, it would fail otherwise
  const process = { terminal: false, user: { uid: 0, gid: 0 }, args: [], env: [], cwd: "/", noNewPrivileges: false };
  const container = { id: "c", cgroupPath: "/c", init: { pid: 1, startTime: "1" }, process };
  const options = { container, command: ["true"], tty: false, signal: client.signal } as unknown as ExecOptions;
  await assert.rejects(execInContainer(dependencies, options), gone);
  assert.ok(removed);
});
