import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultInterface, freePodCIDR } from "./address.ts";

const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
const route = (name: string, destination: string, metric: number, mask = "00000000") =>
  `${name}\t${destination}\t0101A8C0\t0003\t0\t0\t${metric}\t${mask}\t0\t0\t0`;

const cases: { name: string; routes: string[]; want: string | undefined }[] = [
  { name: "no routes", routes: [], want: undefined },
  { name: "one default", routes: [route("eth0", "00000000", 0)], want: "eth0" },
  {
    name: "the lowest metric",
    routes: [route("wlan0", "00000000", 600), route("eth0", "00000000", 100)],
    want: "eth0",
  },
  { name: "0.0.0.0/1 is no default", routes: [route("tun0", "00000000", 0, "00000080")], want: undefined },
];
for (const { name, routes, want } of cases) {
  test(`defaultInterface: ${name}`, () => {
    assert.equal(defaultInterface([head, ...routes, ""].join("\n")), want);
  });
}

test("freePodCIDR: the first for the default folder, and the next when that is taken", () => {
  const options = { defaultDir: "/var/lib/hawser", addresses: ["127.0.0.1", "10.88.1.1"] };
  assert.equal(freePodCIDR("/var/lib/hawser", options), "10.88.0.0/24");
  assert.equal(freePodCIDR("/var/lib/hawser", { ...options, addresses: ["10.88.0.1", "10.88.1.1"] }), "10.88.2.0/24");
});

test("freePodCIDR: the same folder has the same subnet, another another", () => {
  const options = { defaultDir: "/var/lib/hawser", addresses: [] };
  assert.equal(freePodCIDR("/tmp/a", options), freePodCIDR("/tmp/a", options));
  assert.notEqual(freePodCIDR("/tmp/a", options), freePodCIDR("/tmp/b", options));
  assert.notEqual(freePodCIDR("/tmp/a", options), "10.88.0.0/24");
});
