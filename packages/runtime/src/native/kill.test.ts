import assert from "node:assert/strict";
import { it } from "node:test";
import { killUntilGone, signalFound } from "./kill.ts";
import { identify } from "./process-id.ts";
import { Reaper } from "./reaper.ts";
import { spawn } from "./spawn.ts";

it("killUntilGone: kills those there are, and who comes while it looks", async () => {
  using reaper = new Reaper();
  const sleeper = () => spawn({ reaper }, { path: "/bin/sleep", args: ["100"], stdio: [-1, -1, -1] });
  const children = [sleeper()];
  let looks = 0;
  await killUntilGone(async () => {
    if (++looks === 2) children.push(sleeper());
    const alive = await Promise.all(children.map(({ pid }) => identify(pid)));
    return alive.flatMap((each) => each?.pid ?? []);
  });
  assert.deepEqual(await Promise.all(children.map(({ exited }) => exited)), [137, 137]);
});

it("killUntilGone: leaves those alone who end within the grace", async () => {
  using reaper = new Reaper();
  const child = spawn({ reaper }, { path: "/bin/sh", args: ["-c", "exit 3"], stdio: [-1, -1, -1] });
  await killUntilGone(async () => ((await identify(child.pid)) ? [child.pid] : []), 5000);
  assert.equal(await child.exited, 3);
});

it("signalFound: signals nobody who is not found again, as who has another's number is not", async () => {
  using reaper = new Reaper();
  const [one, two] = [1, 2].map(() => spawn({ reaper }, { path: "/bin/sleep", args: ["100"], stdio: [-1, -1, -1] }));
  assert.ok(one && two);
  const looks = [[one.pid, two.pid], [two.pid]];
  assert.equal(await signalFound(async () => looks.shift() ?? [], "SIGTERM"), 2);
  assert.equal(await two.exited, 143);
  assert.equal(await signalFound(async () => [two.pid], "SIGTERM"), 1, "nobody has that number");
  assert.equal((await identify(one.pid))?.pid, one.pid);
  await killUntilGone(async () => ((await identify(one.pid)) ? [one.pid] : []));
  assert.equal(await one.exited, 137);
});
