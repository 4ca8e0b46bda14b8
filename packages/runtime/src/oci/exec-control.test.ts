import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { closeQuietly } from "../native/libc.ts";
import { openSocketPair, sendDescriptors } from "../native/socket.ts";
import { ExecControl } from "./exec-control.ts";
import { OCIError } from "./runtime.ts";

/** A waiter that has begun a command on a terminal: a file stands for its master. */
function onTerminal() {
  const [control, terminal] = [openSocketPair("stream"), openSocketPair("stream")];
  const master = openSync("/dev/null", "r");
  sendDescriptors(terminal.theirs, [master]);
  writeSync(control.theirs, "BT");
  closeSync(master);
  return {
    control: new ExecControl({ control: control.ours, terminal: terminal.ours }),
    [Symbol.dispose]: () => closeQuietly(control.theirs, terminal.theirs),
  };
}

test("a terminal that was handed out is not closed by whoever gives the command up", async () => {
  using waiter = onTerminal();
  const { control } = waiter;
  const master = await control.terminal();
  assert.ok(master !== undefined);
  control[Symbol.dispose]();
  await assert.rejects(control.exited, { name: "OCIError" });
  await turn();
  assert.ok(fstatSync(master).isCharacterDevice());
  closeSync(master);
});

test("only what ends with the waiter's last word is whole: an end in the midst of it is nobody's", async () => {
  for (const said of ["BR\0X\x03", "BFX\0", "BFno\0R\0X\x03"]) {
    const { ours, theirs } = openSocketPair("stream");
    writeSync(theirs, said);
    let removed = false;
    const control = new ExecControl({ control: ours }, () => {
      removed = true;
    });
    closeQuietly(theirs);
    await control.exited.catch((error: unknown) => assert.ok(error instanceof OCIError));
    assert.equal(removed, false, JSON.stringify(said));
  }
});
