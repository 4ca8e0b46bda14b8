import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { readDetails } from "./details.ts";
import { descriptorsSeen, descriptorsTold } from "./open-files.ts";
import { countProcesses, softFilesLimit } from "./processes.ts";

/** A place that looks like cgroups' file systems. */
async function folder(files: Record<string, string>) {
  const mount = await mkdtemp(path.join(tmpdir(), "hawser-cgroup-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(mount, name)), { recursive: true });
    await writeFile(path.join(mount, name), text);
  }
  return { mount, [Symbol.asyncDispose]: () => rm(mount, { recursive: true, force: true }) };
}

const device = { device: "4095:7", readBytes: 100n, reads: 3n, writtenBytes: 200n, writes: 4n };
const all = {
  ...{ userNanoseconds: 20_000_000n, systemNanoseconds: 10_000_000n },
  ...{ periods: 5n, throttledPeriods: 2n, throttledNanoseconds: 7000n },
  ...{ cacheBytes: 40n, kernelBytes: 50n, mappedFileBytes: 60n, mostBytes: 70n, oomKills: 1n, mostThreads: 0n },
  devices: [device],
};

test("readDetails: of cgroup v1, ticks become nanoseconds, and those below count", async () => {
  await using place = await folder({
    "cpuacct/pod/c/cpuacct.stat": "user 2\nsystem 1\n",
    "cpu/pod/c/cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 7000\n",
    "memory/pod/c/memory.stat": "cache 1\nmapped_file 1\ntotal_cache 40\ntotal_mapped_file 60\n",
    "memory/pod/c/memory.kmem.usage_in_bytes": "50\n",
    "memory/pod/c/memory.max_usage_in_bytes": "70\n",
    "memory/pod/c/memory.failcnt": "8\n",
    "memory/pod/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "pids/pod/c/pids.max": "max\n",
    "blkio/pod/c/blkio.throttle.io_service_bytes_recursive":
      "4095:7 Read 100\n4095:7 Write 200\n4095:7 Total 300\nTotal 300\n",
    "blkio/pod/c/blkio.throttle.io_serviced_recursive": "4095:7 Read 3\n4095:7 Write 4\nTotal 7\n",
  });
  assert.deepEqual(await readDetails({ mode: "v1", mount: place.mount }, "/pod/c"), { ...all, limitHits: 8n });
});

test("readDetails: of cgroup v2, microseconds become nanoseconds", async () => {
  const files = {
    "cpu.stat": "user_usec 20000\nsystem_usec 10000\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n",
    "memory.stat": "file 40\nkernel_stack 20\npagetables 10\nslab 20\nfile_mapped 60\n",
    "memory.peak": "70\n",
    "memory.events": "max 3\noom 1\noom_kill 1\n",
    "pids.max": "max\n",
    "io.stat": "4095:7 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n",
  };
  const names = Object.entries(files).map(([name, text]) => [`pod/c/${name}`, text]);
  await using place = await folder(Object.fromEntries(names));
  assert.deepEqual(await readDetails({ mode: "v2", mount: place.mount }, "/pod/c"), all);
  const nothing = await readDetails({ mode: "v2", mount: place.mount }, "/gone");
  assert.deepEqual(new Set(Object.values(nothing)), new Set([undefined]), "what the kernel does not tell is absent");
});

test("countProcesses: with those of groups below, their descriptors, and sockets among these", async () => {
  await using place = await folder({
    "pids/c/cgroup.procs": `${process.pid}\n`,
    "pids/c/below/cgroup.procs": "4194305\n", // above the kernel's largest
  });
  const count = () => countProcesses({ mode: "v1", mount: place.mount }, "/c");
  const before = await count();
  assert.equal(before.processes, 2n);
  const server = createServer().listen(0, "127.0.0.1");
  try {
    await new Promise((resolve) => server.once("listening", resolve));
    const { descriptors = 0n, sockets = 0n } = await count();
    assert.ok(descriptors > (before.descriptors ?? 0n));
    assert.equal(sockets, (before.sockets ?? 0n) + 1n);
  } finally {
    server.close();
  }
});

test("countProcesses: of more than is counted, nothing is told rather than too little", async () => {
  const counted = async (files: Record<string, string>) => {
    await using place = await folder(files);
    return await countProcesses({ mode: "v2", mount: place.mount }, "/c");
  };
  const groups = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`c/${n}/cgroup.procs`, n === 0 ? "4194305\n" : ""]));
  assert.equal((await counted(groups(999))).processes, 1n);
  assert.deepEqual(await counted(groups(1000)), {}, "with their parent, 1,001");
  assert.deepEqual(await counted({ "c/cgroup.procs": "4194305\n".repeat(201) }), { processes: 201n });
  assert.deepEqual(await counted({ "c/cgroup.procs": "4194305\n".repeat(140_000) }), {});
  const own = await descriptorsSeen([String(process.pid)], 2000);
  const times = Math.ceil(2001 / (Number(own?.descriptors) - 1)); // but for the one it is read by
  const { processes, descriptors, sockets } = await counted({ "c/cgroup.procs": `${process.pid}\n`.repeat(times) });
  assert.deepEqual([processes, sockets], [BigInt(times), undefined]);
  if ((await descriptorsTold([])) === undefined) assert.equal(descriptors, undefined);
  else assert.ok((descriptors ?? 0n) > 2000n, "the kernel tells");
});

test("descriptorsSeen: as many as the kernel tells, and none where there are more than are looked at", async () => {
  const self = String(process.pid);
  const seen = await descriptorsSeen([self, "4194305"], 2000);
  const told = await descriptorsTold([self, "4194305"]);
  assert.ok(seen && seen.descriptors > 3n);
  assert.ok(told === undefined || told <= seen.descriptors, "but for the one it is read by");
  assert.equal(await descriptorsSeen([self], 3), undefined);
  assert.equal(await descriptorsSeen([self, self], Number(seen.descriptors)), undefined);
});

test("softFilesLimit: of a process, and none of one that is gone", async () => {
  assert.ok(((await softFilesLimit(process.pid)) ?? 0n) > 0n);
  assert.equal(await softFilesLimit(4_194_305), undefined);
});
