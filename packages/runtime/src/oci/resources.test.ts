import assert from "node:assert/strict";
import { test } from "node:test";
import { create, LinuxContainerResourcesSchema } from "@hawser/cri";
import { mergeResources, ociResources, resourceRecord } from "./resources.ts";

const host = { cgroup: "v2", swapAccounting: async () => false, hugetlb: true } as const;

test("resourceRecord: what is zero was not given", async () => {
  assert.deepEqual(await resourceRecord(host, undefined), {});
  assert.deepEqual(await resourceRecord(host, create(LinuxContainerResourcesSchema)), {});
  const given = create(LinuxContainerResourcesSchema, {
    cpuShares: 512n,
    memoryLimitInBytes: 1n << 40n,
    cpusetCpus: "0-1",
    hugepageLimits: [{ pageSize: "2MB", limit: 4096n }],
    unified: { "memory.high": "1000" },
  });
  assert.deepEqual(await resourceRecord(host, given), {
    cpuShares: 512,
    memoryLimitInBytes: 2 ** 40,
    cpusetCpus: "0-1",
    hugepageLimits: [{ pageSize: "2MB", limit: 4096 }],
    unified: { "memory.high": "1000" },
  });
});

test("resourceRecord: a memory limit is one for swap too, where the kernel counts it and nothing else is said", async () => {
  const limited = async (memorySwapLimitInBytes: bigint, counted: boolean) => {
    const given = create(LinuxContainerResourcesSchema, { memoryLimitInBytes: 100n, memorySwapLimitInBytes });
    return (await resourceRecord({ ...host, swapAccounting: async () => counted }, given)).memorySwapLimitInBytes;
  };
  assert.equal(await limited(0n, true), 100);
  assert.equal(await limited(300n, true), 300);
  assert.equal(await limited(-1n, true), -1);
  for (const swap of [0n, 100n, -1n]) assert.equal(await limited(swap, false), undefined);
});

test("resourceRecord: limits of huge pages need their controller; a limit of none is one", async () => {
  const sizes = ["2MB", "1GB"].map((pageSize) => ({ pageSize, limit: 0n }));
  const given = create(LinuxContainerResourcesSchema, { hugepageLimits: sizes });
  const want = sizes.map(({ pageSize }) => ({ pageSize, limit: 0 }));
  assert.deepEqual(await resourceRecord(host, given), { hugepageLimits: want });
  assert.deepEqual(await resourceRecord({ ...host, hugetlb: false }, given), {});
});

test("resourceRecord: cgroup v2's own files are refused on v1", async () => {
  const unified = create(LinuxContainerResourcesSchema, { unified: { "memory.high": "1000" } });
  await assert.rejects(resourceRecord({ ...host, cgroup: "v1" }, unified), { code: 3, message: /cgroup v2/ });
});

test("ociResources: a quota of no limit is left out on v1; unified is for v2", () => {
  const record = { cpuQuota: -1, cpuPeriod: 100_000, unified: { a: "b" } };
  assert.deepEqual(ociResources(record, "v1"), { cpu: { period: 100_000 } });
  assert.deepEqual(ociResources(record, "v2"), { cpu: { quota: -1, period: 100_000 }, unified: { a: "b" } });
  assert.deepEqual(ociResources({}, "v1"), {});
});

test("mergeResources: an update changes what it gives", () => {
  const before = { cpuShares: 2, memoryLimitInBytes: 3, unified: { a: "1", b: "2" } };
  assert.deepEqual(mergeResources(before, { cpuShares: 5, unified: { b: "3" } }), {
    cpuShares: 5,
    memoryLimitInBytes: 3,
    unified: { a: "1", b: "3" },
  });
});

test("resourceRecord: what is no limit to the kernel is read as an int64 by the OCI runtime", async () => {
  const most = 2n ** 63n - 1n;
  const given = create(LinuxContainerResourcesSchema, {
    memoryLimitInBytes: most,
    hugepageLimits: [{ pageSize: "2MB", limit: 2n ** 64n - 1n }],
  });
  const record = await resourceRecord({ ...host, swapAccounting: async () => true }, given);
  const numbers = JSON.stringify(ociResources(record, "v2")).match(/\d{10,}/g) ?? [];
  assert.equal(numbers.length, 3);
  for (const number of numbers) assert.ok(BigInt(number) <= most && BigInt(number) > most - 8192n, number);
});
