// What is read and written of cgroup v2, in a folder that looks like it. On a kernel: make test-cgroup-v2.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { nestedExecGroups } from "./exec-groups.ts";
import { controllerPath } from "./paths.ts";
import { killAll } from "./tree.ts";
import { Usage } from "./usage.ts";

async function folder(files: Record<string, string> = {}) {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-cgroup-"));
  await mkdir(path.join(directory, "pod/container"), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, "pod/container", name), text);
  return {
    directory,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

test("controllerPath: one hierarchy for all", () => {
  assert.equal(controllerPath("v2", "/pod/container", "pids"), "/sys/fs/cgroup/pod/container");
  assert.equal(controllerPath("v1", "/pod/container", "pids"), "/sys/fs/cgroup/pids/pod/container");
});

test("Usage: microseconds become nanoseconds, and what the kernel does not tell is absent", async () => {
  await using place = await folder({
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\n",
    "memory.current": "5000\n",
    "memory.max": "max\n",
    "memory.swap.current": "7\n",
    "pids.current": "3\n",
    "memory.stat": "anon 100\ninactive_file 2000\npgfault 11\npgmajfault 1\n",
  });
  let now = 0n;
  const usage = new Usage({ mode: "v2", now: () => now, mount: place.directory });
  const want = {
    ...{ timestamp: 0n, cpuNanoseconds: 1_500_000n, memoryBytes: 5000n, workingSetBytes: 3000n, rssBytes: 100n },
    ...{ pageFaults: 11n, majorPageFaults: 1n, swapBytes: 7n, processes: 3n },
  };
  assert.deepEqual(await usage.read("/pod/container"), want);
  await writeFile(path.join(place.directory, "pod/container/cpu.stat"), "usage_usec 2500\n");
  await writeFile(path.join(place.directory, "pod/container/memory.max"), "64000\n");
  now = 2_000_000n;
  const { nanoCores, memoryLimitBytes } = await usage.read("/pod/container");
  assert.deepEqual([nanoCores, memoryLimitBytes], [500_000_000n, 64_000n], "half a processor");
  assert.deepEqual(await usage.read("/gone"), { timestamp: now });
});

test("nestedExecGroups: a group below the container's, by its name for the OCI runtime, and gone when empty", async () => {
  await using place = await folder();
  const groups = nestedExecGroups(place.directory);
  const [one, other] = [groups.open("id", "/pod/container"), groups.open("id", "/pod/container")];
  assert.notEqual(one.directory, other.directory);
  assert.deepEqual(one.args, ["--cgroup", path.basename(one.directory)]);
  assert.equal(path.dirname(one.directory), path.join(place.directory, "pod/container"));
  await one.make();
  assert.equal(await one.count(0), 0);
  await one.remove();
  assert.deepEqual(await readdir(path.join(place.directory, "pod/container")), []);
  await other.remove(); // never made
});

test("nestedExecGroups: what an earlier runtime was running is ended, what an exec left on purpose is not", async () => {
  await using place = await folder();
  const container = path.join(place.directory, "pod/container");
  const make = async (name: string, kept: boolean) => {
    const group = path.join(container, name);
    await mkdir(kept ? path.join(group, "kept") : group, { recursive: true });
    await writeFile(path.join(group, "cgroup.kill"), "");
    return async () => await readFile(path.join(group, "cgroup.kill"), "utf8");
  };
  const killed = await make("hawser-exec-1-1", false);
  const spared = await make("hawser-exec-1-2", true);
  const stranger = await make("systemd", false);
  await nestedExecGroups(place.directory).endAbandoned({ id: "id", cgroupPath: "/pod/container" });
  assert.deepEqual([await killed(), await spared(), await stranger()], ["1", "", ""]);
});

test("nestedExecGroups: an abandoned group that goes while it is looked for is no failure", async () => {
  await using place = await folder();
  const container = path.join(place.directory, "pod/container");
  await symlink("gone", path.join(container, "hawser-exec-1-1")); // is in the list, and not there
  await mkdir(path.join(container, "hawser-exec-1-2"));
  await nestedExecGroups(place.directory).endAbandoned({ id: "id", cgroupPath: "/pod/container" });
  assert.deepEqual(await readdir(container), ["hawser-exec-1-1"], "the other is ended all the same");
});

test("killAll: makes no file where the kernel has none", async () => {
  await using place = await folder();
  await killAll(path.join(place.directory, "pod"));
  await killAll(path.join(place.directory, "gone"));
  assert.deepEqual(await readdir(path.join(place.directory, "pod")), ["container"]);
});
