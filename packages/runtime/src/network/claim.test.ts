import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { identify } from "../native/process-id.ts";
import { claimPodCIDR, routeInto } from "./claim.ts";
import { readClaims } from "./other-claims.ts";

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
  const of = async (name: string, podCIDR?: string) => {
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
      {
        await using _others = await of("others"); // whose network is configured by somebody else
        const [noted] = (await readClaims(states)).filter(({ root }) => root === "/roots/others");
        assert.deepEqual(Object.keys(noted ?? {}), ["root", "netns", "process"]);
        await using _beside = await of("beside", "203.0.113.0/24");
      }
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

test("readClaims: what others could have written, and what is no claim, is passed over and hurts nobody", async (t) => {
  const states = await mkdtemp(path.join(tmpdir(), "hawser-claims-"));
  t.after(() => rm(states, { recursive: true, force: true }));
  const netns = await readlink("/proc/self/ns/net");
  const good = { root: "/roots/good", podCIDR: "198.51.100.0/24", netns, process: await identify(process.pid) };
  const put = async (name: string, contents: string, mode = 0o755) => {
    const file = path.join(states, name, "network.json");
    await mkdir(path.dirname(file));
    await writeFile(file, contents);
    await chmod(path.dirname(file), mode);
    return file;
  };
  const text = JSON.stringify(good);
  await put("good", text);
  await put("open-to-all", text, 0o1777);
  await put("open-to-a-group", text, 0o775);
  await chmod(await put("open-file", text), 0o666);
  await put("large", `${" ".repeat(5000)}${text}`);
  await put("endless", "").then((file) => rm(file).then(() => symlink("/dev/zero", file)));
  await put("elsewhere", "").then((file) => rm(file).then(() => symlink(path.join(states, "good/network.json"), file)));
  await put("pipe", "").then((file) => rm(file).then(() => execFileSync("mkfifo", [file])));
  await put("directory", "").then((file) => rm(file).then(() => mkdir(file)));
  await symlink(path.join(states, "good"), path.join(states, "linked"));
  await writeFile(path.join(states, "a-file"), text);
  for (const [index, odd] of [
    ...["", "null", "[]", "1", '"x"', "{}", "{", "\u0000", "[".repeat(4000)],
    ...[{ root: "etc" }, { root: "/a\nb" }, { root: 1 }, { podCIDR: "1.2.3/8" }, { podCIDR: "999.1.1.1/8" }].map(
      (change) => JSON.stringify({ ...good, ...change }),
    ),
    ...[
      { podCIDR: "1.2.3.4/33" },
      { netns: "pid:[1]" },
      { process: null },
      { process: { pid: -1, startTime: "1" } },
    ].map((change) => JSON.stringify({ ...good, ...change })),
    ...[
      { pid: 1.5, startTime: "1" },
      { pid: "1", startTime: "1" },
      { pid: 1, startTime: "../x" },
    ].map((holder) => JSON.stringify({ ...good, process: holder })),
  ].entries()) {
    await put(`odd-${index}`, odd);
  }
  const elsewhere = new Set((await readClaims(path.join(states, "none"))).map(({ root }) => root)); // where they are by default
  assert.ok(!elsewhere.has(good.root));
  assert.deepEqual(
    (await readClaims(states)).filter(({ root }) => !elsewhere.has(root)),
    [good],
  );
});
