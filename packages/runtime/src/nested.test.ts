import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { silentLogger } from "@hawser/trace";
import { startRuntime } from "./index.ts";
import { refuseNested } from "./nested.ts";
import { claimPodCIDR } from "./network/claim.ts";

test("refuseNested: neither root nor state directory lies in another runtime's, nor the other way round", async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-nested-"));
  const at = (name: string) => path.join(folder, name);
  try {
    for (const directory of ["a/root/inner", "a/state", "b"]) await mkdir(at(directory), { recursive: true });
    await symlink(at("a/root"), at("b/link"));
    await writeFile(at("a/root/runtime.json"), JSON.stringify({ stateDir: at("a/state") }));
    const [root, stateDir] = [at("a/root"), at("a/state")];
    const places = [
      [
        "a root in its root",
        "a/root/inner",
        "b/state",
        /runtime root .*inner lies in runtime root .*a\/root of the runtime in/,
      ],
      ["a root that is not there yet", "a/root/x/y", "b/state", /runtime root .*x\/y lies in runtime root/],
      ["a root in it by a link", "b/link/inner", "b/state", /runtime root .*a\/root\/inner lies in/],
      ["a root in its state directory", "a/state/root", "b/state", /lies in state directory .*a\/state of the runtime/],
      ["a state directory in its root", "b/root", "a/root/state", /state directory .* lies in runtime root/],
      ["a state directory in its own", "b/root", "a/state/s", /state directory .* lies in state directory/],
      ["it in our state directory", "b/root", "a", / of the runtime .* lies in state directory .*a;/],
      ["its root in ours", "a", "a/beside", /runtime root .*a\/root of the runtime .* lies in runtime root .*a;/],
      ["beside it", "b/root", "b/state", undefined],
      ["its own root again", "a/root", "a/state", undefined],
      ["a name that begins alike", "a/root2", "a/state2", undefined],
    ] as const;
    {
      await using _other = await claimPodCIDR({ root, stateDir, bridge: "hawser-nested", podCIDR: "198.51.100.0/24" });
      for (const [name, ourRoot, ourState, message] of places) {
        await t.test(name, async () => {
          const refused = refuseNested({ root: at(ourRoot), stateDir: at(ourState) });
          if (!message) return await refused;
          await assert.rejects(refused, { message });
          await assert.rejects(refused, { message: new RegExp(`the runtime in ${root} \\(process ${process.pid}\\)`) });
        });
      }
      const start = startRuntime({
        root: at("a/root/new"),
        socketPath: at("s"),
        config: { stateDir: at("b/state") },
        log: silentLogger,
      });
      await assert.rejects(start, { message: /lies in runtime root/ });
      assert.deepEqual([await readdir(at("a/root")), await readdir(at("b"))], [["inner", "runtime.json"], ["link"]]);
    }
    await refuseNested({ root: at("a/root/inner"), stateDir: at("b/state") }); // it has ended
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("refuseNested: a path of another's that leads nowhere counts while it lives, and it is named", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-nested-"));
  const at = (name: string) => path.join(folder, name);
  try {
    await mkdir(at("states/other"), { recursive: true });
    const own = { root: at("root"), stateDir: at("states/own") };
    const claim = {
      root: at("other"),
      stateDir: at("states/other"),
      bridge: "hawser-nested",
      podCIDR: "198.51.100.0/24",
    };
    await symlink(at("loop"), at("loop"));
    const noted = path.join(at("states/other"), "network.json");
    let text = "";
    {
      await using _other = await claimPodCIDR(claim);
      text = await readFile(noted, "utf8");
      for (const [place, code] of [
        ["/dev/null/root", "ENOTDIR"],
        [at("loop"), "ELOOP"],
      ] as const) {
        await writeFile(noted, text.replace(JSON.stringify(claim.root), JSON.stringify(place)));
        await assert.rejects(refuseNested(own), {
          message: new RegExp(`the paths of the runtime in ${place} \\(process ${process.pid}\\) lead: ${code}`),
        });
      }
    }
    const dead = { ...JSON.parse(text), root: "/dev/null/root", process: { pid: process.pid, startTime: "1" } };
    await writeFile(noted, JSON.stringify(dead));
    await refuseNested(own);
  } finally {
    await rm(folder, { recursive: true });
  }
});
