import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { claimPodCIDR, routeInto } from "./claim.ts";

const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
const route = (name: string, destination: string, mask: string) =>
  `${name}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0`;

const cases: { name: string; routes: string[]; want: string | undefined }[] = [
  { name: "none", routes: [], want: undefined },
  { name: "the default route", routes: [route("eth0", "00000000", "00000000")], want: undefined },
  {
    name: "our own bridge, left by a crash",
    routes: [route("hawser0000000a", "0000580A", "0000FFFF")],
    want: undefined,
  },
  { name: "podman's network", routes: [route("cni-podman0", "0000580A", "0000FFFF")], want: "10.88.0.0/16" },
  { name: "a part of it", routes: [route("eth1", "0003580A", "00FFFFFF")], want: "10.88.3.0/24" },
  { name: "a host in it", routes: [route("tun0", "0503580A", "FFFFFFFF")], want: "10.88.3.5/32" },
  { name: "a wider one", routes: [route("vpn0", "0000000A", "000000FF")], want: undefined },
  {
    name: "a wider one of another runtime's",
    routes: [route("hawser0000000b", "0000000A", "000000FF")],
    want: "10.0.0.0/8",
  },
  { name: "a neighbour", routes: [route("eth1", "0000590A", "0000FFFF")], want: undefined },
];
for (const { name, routes, want } of cases) {
  test(`routeInto: ${name}`, () => {
    const found = routeInto("10.88.0.0/16", [head, ...routes, ""].join("\n"), "hawser0000000a");
    assert.equal(found?.destination, want);
  });
}

test("claimPodCIDR: one live runtime has an address; a dead one's, and one's own of before, are free", async () => {
  const states = await mkdtemp(path.join(tmpdir(), "hawser-claim-"));
  const of = async (name: string, podCIDR: string) => {
    const stateDir = path.join(states, name);
    await mkdir(stateDir, { recursive: true });
    return await claimPodCIDR({ root: `/roots/${name}`, stateDir, bridge: `hawser-${name}`, podCIDR });
  };
  try {
    {
      await using _one = await of("one", "198.51.100.0/25");
      await using _neighbour = await of("neighbour", "198.51.100.128/25");
      await assert.rejects(
        of("two", "198.51.100.0/24"),
        /198\.51\.100\.0\/24: the runtime in \/roots\/\w+ \(process \d+\) has 198\.51\.100\.\d+\/25; set podCIDR \(--pod-cidr\)/,
      );
      assert.deepEqual(await readdir(path.join(states, "two")), []);
      await using _again = await of("one", "198.51.100.0/25");
    }
    const netns = await readlink("/proc/self/ns/net");
    const dead = { root: "/roots/dead", podCIDR: "198.51.100.0/24", netns, process: { pid: 1, startTime: "1" } };
    await mkdir(path.join(states, "dead"));
    await writeFile(path.join(states, "dead/network.json"), JSON.stringify(dead));
    await mkdir(path.join(states, "spoiled"));
    await writeFile(path.join(states, "spoiled/network.json"), '{"root":');
    await using _two = await of("two", "198.51.100.0/24");
  } finally {
    await rm(states, { recursive: true, force: true });
  }
});
