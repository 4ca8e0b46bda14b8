import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { closeQuietly, libc } from "../native/libc.ts";
import { startByHelper } from "./exec-by-helper.ts";
import type { ExecHelper } from "./exec-helper.ts";
import type { ExecProcessOptions } from "./exec-process.ts";
import type { Place } from "./exec-request.ts";

const F_DUPFD_CLOEXEC = 1030;
const place: Place = {
  ...{ cgroups: [], pids: undefined, freezer: "/no", seccomp: undefined },
  ...{ cgroupNamespace: false, users: undefined },
};
const process_ = {
  terminal: false,
  user: { uid: 0, gid: 0 },
  args: ["true"],
  env: [],
  cwd: "/",
  noNewPrivileges: false,
};
/** A group whose directory nobody makes. */
const group = { directory: "/no/group", signal: async () => 0, kill: async () => {} };
const options = {
  container: { id: "c", init: { pid: 1, startTime: "1" }, process: process_ },
  ...{ process: process_, group, stdin: true, stdout: true, stderr: true },
} as unknown as ExecProcessOptions; // of the rest, nothing is looked at here

/** A helper that does with each exec's control socket what `take` does. */
function helperThat(take: (control: Socket, attempt: number) => void) {
  const seen = { entered: 0, replaced: 0 };
  const helper: ExecHelper = {
    reason: "",
    placeOf: async () => place,
    async enter(descriptors) {
      const control = libc.fcntl(descriptors[3] ?? -1, F_DUPFD_CLOEXEC, 3);
      take(
        new Socket({ fd: control }).on("error", () => undefined),
        seen.entered++,
      );
      return true;
    },
    async replace() {
      seen.replaced++;
    },
    clampOOMScore: (score) => score,
    [Symbol.asyncDispose]: async () => {},
  };
  return { helper, seen };
}

test("startByHelper: tries once more when hawser-exec ends with the exec on its way, and then goes another way", async () => {
  const { helper, seen } = helperThat((control) => control.destroy());
  assert.equal(await startByHelper({ helper }, options, place), undefined);
  assert.deepEqual(seen, { entered: 2, replaced: 0 });
});

test("startByHelper: what has begun is not begun again, however it ends", async () => {
  const { helper, seen } = helperThat((control, attempt) => {
    if (attempt === 0) control.destroy();
    else control.once("data", () => control.end("B"));
  });
  const started = await startByHelper({ helper }, options, place);
  assert.ok(started);
  try {
    await assert.rejects(started.exited, /killed before it could tell/);
    assert.deepEqual(seen, { entered: 2, replaced: 0 });
  } finally {
    closeQuietly(started.stdin, started.stdout, started.stderr);
  }
});

test("startByHelper: a word that nobody had the time to read is read before another attempt", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { helper, seen } = helperThat((control) => {
    control.once("data", () =>
      // In one turn of the event loop, so that the time is over when the word is looked at.
      setImmediate(() => {
        control.end("B");
        t.mock.timers.tick(5000);
      }),
    );
  });
  const started = await startByHelper({ helper }, options, place);
  assert.ok(started);
  try {
    await assert.rejects(started.exited, /killed before it could tell/);
    assert.deepEqual(seen, { entered: 1, replaced: 0 });
  } finally {
    closeQuietly(started.stdin, started.stdout, started.stderr);
  }
});

test("startByHelper: one that begins nothing is replaced", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const held: Socket[] = [];
  const { helper, seen } = helperThat((control) => {
    held.push(control);
    control.once("data", () => t.mock.timers.tick(5000)); // it has the request, and says nothing
  });
  assert.equal(await startByHelper({ helper }, options, place), undefined);
  assert.deepEqual(seen, { entered: 2, replaced: 2 });
  for (const socket of held) socket.destroy();
});
