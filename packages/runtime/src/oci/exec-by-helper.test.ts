import assert from "node:assert/strict";
import { readdirSync, readSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { closeQuietly, libc } from "../native/libc.ts";
import { startByHelper } from "./exec-by-helper.ts";
import { LostExecError } from "./exec-control.ts";
import type { ExecHelper } from "./exec-helper.ts";
import type { ExecProcess, ExecProcessOptions } from "./exec-process.ts";
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
const never = new AbortController().signal;
const options = {
  container: { id: "c", init: { pid: 1, startTime: "1" }, process: process_ },
  ...{ process: process_, group, signal: never, stdin: true, stdout: true, stderr: true },
} as unknown as ExecProcessOptions; // of the rest, nothing is looked at here

/** As much of a waiter as the runtime sees. */
interface Waiter {
  control: Socket;
  /** Takes the token and says so, as a waiter does: false when it has not got it, or nobody hears. */
  begin(): boolean;
}

/** A helper that does with each exec what `take` does. */
function helperThat(t: TestContext, take: (waiter: Waiter, attempt: number) => void) {
  const seen = { entered: 0, begun: 0, ended: 0 };
  const copy = (fd: number | undefined) => libc.fcntl(fd ?? -1, F_DUPFD_CLOEXEC, 3);
  const helper: ExecHelper = {
    reason: "",
    placeOf: async () => place,
    async enter(descriptors) {
      const [fd, token] = [copy(descriptors[3]), copy(descriptors[4])];
      const control = new Socket({ fd }).on("error", () => undefined);
      t.after(() => {
        control.destroy();
        closeQuietly(token);
      });
      const begin = () => {
        try {
          readSync(token, Buffer.alloc(8));
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, "EAGAIN");
          return false;
        }
        seen.begun++;
        writeSync(fd, "B");
        return true;
      };
      take({ control, begin }, seen.entered++);
      return {
        enter: async () => true,
        async [Symbol.asyncDispose]() {
          seen.ended++;
        },
      };
    },
    clampOOMScore: (score) => score,
    [Symbol.asyncDispose]: async () => {},
  };
  return { helper, seen };
}

function closeAll({ stdin, stdout, stderr, giveUp }: ExecProcess): void {
  closeQuietly(stdin, stdout, stderr);
  giveUp?.();
}

const lost = /killed before it could tell/;

test("startByHelper: tries once more when hawser-exec ends with the exec on its way, and then goes another way", async (t) => {
  const { helper, seen } = helperThat(t, ({ control }) => control.destroy());
  assert.equal(await startByHelper({ helper }, options, place), undefined);
  assert.deepEqual(seen, { entered: 2, begun: 0, ended: 0 });
});

test("startByHelper: what has begun is not begun again, however it ends", async (t) => {
  const { helper, seen } = helperThat(t, ({ control, begin }, attempt) => {
    if (attempt === 0) control.destroy();
    else
      control.once("data", () => {
        begin();
        control.destroy();
      });
  });
  const started = await startByHelper({ helper }, options, place);
  assert.ok(started);
  try {
    await assert.rejects(started.exited, lost);
    assert.deepEqual(seen, { entered: 2, begun: 1, ended: 0 });
  } finally {
    closeAll(started);
  }
});

/** In which moment around the end of the runtime's patience a slow waiter begins: each in one turn of the event loop. */
const moments: { name: string; at: (begin: () => void, tick: () => void) => void; entered: number }[] = [
  {
    name: "before it",
    at(begin, tick) {
      begin();
      tick();
    },
    entered: 1,
  },
  {
    name: "after it, in the same moment",
    at(begin, tick) {
      tick();
      begin();
    },
    entered: 1,
  },
  {
    name: "when this process has looked for the last time, and not yet closed the socket",
    at(begin, tick) {
      setImmediate(begin);
      tick();
    },
    entered: 2,
  },
  {
    name: "in a microtask after it",
    at(begin, tick) {
      tick();
      queueMicrotask(begin);
    },
    entered: 2,
  },
];
for (const { name, at, entered } of moments) {
  test(`startByHelper: one that begins late begins once: ${name}`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { helper, seen } = helperThat(t, ({ control, begin }, attempt) => {
      control.once("data", () => {
        if (attempt > 0) begin();
        else setImmediate(() => at(begin, () => t.mock.timers.tick(5000)));
      });
    });
    const started = await startByHelper({ helper }, options, place);
    assert.ok(started);
    closeAll(started);
    await assert.rejects(started.exited, lost);
    assert.equal(seen.begun, 1);
    assert.ok(seen.entered <= entered, `${seen.entered} attempts`);
  });
}

test("startByHelper: a porter of which nothing begins is ended, that one and no other", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { helper, seen } = helperThat(t, ({ control }) => {
    control.once("data", () => t.mock.timers.tick(5000)); // it has the request, and says nothing
  });
  assert.equal(await startByHelper({ helper }, options, place), undefined);
  assert.deepEqual(seen, { entered: 2, begun: 0, ended: 2 });
});

test("startByHelper: what nobody wants any more does not begin, wherever it is; what has begun is handed over", async (t) => {
  const why = new Error("the client has gone");
  for (const begins of [false, true]) {
    const client = new AbortController();
    let late: (() => boolean) | undefined;
    const { helper, seen } = helperThat(t, ({ control, begin }) => {
      late = begin;
      control.once("data", () => {
        if (begins) begin();
        client.abort(why);
      });
    });
    const starting = startByHelper({ helper }, { ...options, signal: client.signal }, place);
    if (begins) closeAll((await starting) ?? assert.fail("it has begun"));
    else await assert.rejects(starting, why);
    assert.equal(late?.(), false);
    assert.deepEqual(seen, { entered: 1, begun: begins ? 1 : 0, ended: 0 });
  }
  const client = new AbortController();
  const { helper, seen } = helperThat(t, () => client.abort(why));
  const waits = { ...options, signal: client.signal, finishProcess: () => new Promise<never>(() => undefined) };
  await assert.rejects(startByHelper({ helper }, waits, place), why);
  assert.deepEqual(seen, { entered: 1, begun: 0, ended: 0 });
});

test("startByHelper: that nobody knows how a command ended is said also when it could not be ended", async (t) => {
  const { helper } = helperThat(t, ({ control, begin }) => {
    control.once("data", () => {
      begin();
      control.destroy();
    });
  });
  const signal = async () => {
    throw new Error("EMFILE: too many open files");
  };
  const started = await startByHelper({ helper }, { ...options, group: { ...options.group, signal } }, place);
  assert.ok(started);
  await assert.rejects(started.exited, (error) => {
    assert.ok(error instanceof LostExecError);
    assert.match(error.message, /killed before it could tell.*; the command could not be ended: EMFILE/);
    return true;
  });
  closeAll(started);
});

test("startByHelper: of one that does not begin no descriptor stays open", async () => {
  const porter = { enter: async () => true, [Symbol.asyncDispose]: async () => {} };
  const helperBy = (enter: ExecHelper["enter"]) => ({ helper: { enter } as unknown as ExecHelper });
  const terminal = { ...options.process, terminal: true };
  const client = new AbortController();
  const ways = [
    () =>
      startByHelper(
        helperBy(async () => porter),
        options,
        place,
      ), // nobody has a copy of the control socket
    () =>
      startByHelper(
        helperBy(async () => porter),
        { ...options, process: terminal },
        place,
      ),
    () =>
      startByHelper(
        helperBy(async () => undefined),
        options,
        place,
      ),
    () =>
      startByHelper(
        helperBy(() => Promise.reject(new Error("no"))),
        options,
        place,
      ),
    () =>
      startByHelper(
        helperBy(async () => porter),
        { ...options, signal: client.signal },
        place,
      ),
    () => {
      const finishProcess = () => Promise.reject(new Error("no"));
      return startByHelper(
        helperBy(async () => porter),
        { ...options, finishProcess },
        place,
      );
    },
  ];
  client.abort(new Error("gone"));
  const open = () => readdirSync("/proc/self/fd").length;
  await Promise.allSettled(ways.map((way) => way())); // what is opened once for all
  for (let n = 0; n < 20; n++) await turn();
  const before = open();
  for (let n = 0; n < 10; n++) assert.ok((await Promise.allSettled(ways.map((way) => way()))).length > 0);
  for (let n = 0; n < 100 && open() > before; n++) await turn();
  assert.equal(open(), before);
});
