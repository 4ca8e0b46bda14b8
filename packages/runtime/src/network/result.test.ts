import assert from "node:assert/strict";
import { test } from "node:test";
import { addressesOf, resultAs } from "./result.ts";

const interfaces = [{ name: "cni0" }, { name: "eth0", sandbox: "/ns" }];
const cases: { name: string; result: Record<string, unknown>; want: string[] }[] = [
  { name: "nothing", result: {}, want: [] },
  { name: "of 1.0.0", result: { interfaces, ips: [{ address: "10.1.2.3/24", interface: 1 }] }, want: ["10.1.2.3"] },
  {
    name: "of 0.3.1",
    result: { interfaces, ips: [{ version: "4", address: "10.1.2.3/24", interface: null }] },
    want: ["10.1.2.3"],
  },
  {
    name: "of both families: IPv4 first",
    result: { ips: [{ address: "fd00::2/64" }, { address: "10.1.2.3/24" }, { address: "fd00::3/64" }] },
    want: ["10.1.2.3", "fd00::2", "fd00::3"],
  },
  { name: "of another interface", result: { interfaces, ips: [{ address: "10.1.2.1/24", interface: 0 }] }, want: [] },
  {
    name: "of no interface there is",
    result: { interfaces, ips: [{ address: "10.1.2.1/24", interface: 9 }] },
    want: [],
  },
  {
    name: "of 0.2.0",
    result: { ip4: { ip: "10.1.2.3/24" }, ip6: { ip: "fd00::2/64" } },
    want: ["10.1.2.3", "fd00::2"],
  },
  { name: "of other shapes", result: { ips: { address: "10.1.2.3/24" }, interfaces: 3, ip4: "x" }, want: [] },
];
for (const { name, result, want } of cases) {
  test(`addressesOf: ${name}`, () => assert.deepEqual(addressesOf(result, "eth0"), want));
}

test("addressesOf: what is no address is refused", () => {
  for (const address of ["x", undefined, {}, "10.1.2.3.4/24", "10.1.2.3\n/24"]) {
    assert.throws(() => addressesOf({ ips: [{ address }] }, "eth0"), { name: "CNIError", message: /that is none/ });
  }
});

test("resultAs: a result is told in the words of the network's version, or not at all", () => {
  const of = (cniVersion: string, version?: string) => ({
    cniVersion,
    interfaces,
    ips: [
      { ...(version && { version: "4" }), address: "10.1.2.3/24" },
      { ...(version && { version: "6" }), address: "fd00::2/64" },
    ],
  });
  assert.deepEqual(resultAs(of("0.4.0", "4"), "1.0.0"), of("1.0.0"));
  assert.deepEqual(resultAs(of("1.1.0"), "0.4.0"), of("0.4.0", "4"));
  assert.deepEqual(resultAs(of("1.0.0"), "1.1.0"), of("1.1.0"));
  assert.deepEqual(resultAs({ ips: [] }, "1.0.0"), { cniVersion: "1.0.0", ips: [] });
  assert.deepEqual(resultAs({ cniVersion: "0.4.0" }, "1.0.0"), { cniVersion: "1.0.0" });
  assert.equal(resultAs({ cniVersion: "0.2.0", ip4: {} }, "1.0.0"), undefined);
});
