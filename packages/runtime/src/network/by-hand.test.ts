import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";
import { Reaper } from "../native/reaper.ts";
import { findProgram } from "../oci/probe.ts";
import { releaseAddresses, removalOf, removeHostPorts } from "./by-hand.ts";

const programs = ["iptables", "iptables-restore"];
const found = await Promise.all(programs.map(async (name) => [name, await findProgram(name)] as const));
const skip =
  process.getuid?.() !== 0 ? "needs root" : found.some(([, place]) => !place) ? "there is no iptables" : false;

it("releaseAddresses: a pod's own go, by host-local's files; others, and what is no address, stay", async () => {
  const ipamDir = await mkdtemp(path.join(tmpdir(), "hawser-ipam-"));
  try {
    await releaseAddresses({ name: "net", ipamDir }, "c1");
    const directory = path.join(ipamDir, "net");
    await mkdir(directory);
    const files = {
      "10.1.2.2": "c1\r\neth0",
      "10.1.2.3": "c11\r\neth0",
      "fd00::2": "c1",
      "last_reserved_ip.0": "c1",
      lock: "",
    };
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, name), text);
    for (const _time of [1, 2]) await releaseAddresses({ name: "net", ipamDir }, "c1");
    assert.deepEqual(await readdir(directory), ["10.1.2.3", "last_reserved_ip.0", "lock"]);
  } finally {
    await rm(ipamDir, { recursive: true });
  }
});

it("removalOf: a pod's own rules go, and the chain they lead to, once", () => {
  const rule = (port: number, id: string, chain: string) =>
    `-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"net\\" id: \\"${id}\\"" -m multiport --dports ${port} -j ${chain}`;
  const [first, second] = [rule(80, "c1", "CNI-DN-0a"), rule(81, "c1", "CNI-DN-0a")];
  const rules = ["-N CNI-HOSTPORT-DNAT", first, rule(82, "c11", "CNI-DN-0b"), second, ""].join("\n");
  assert.deepEqual(removalOf(rules, "c1")?.split("\n"), [
    "*nat",
    ":CNI-DN-0a - [0:0]",
    first.replace("-A", "-D"),
    second.replace("-A", "-D"),
    "-X CNI-DN-0a",
    "COMMIT",
    "",
  ]);
  assert.equal(removalOf(rules, "c2"), undefined);
});

it("removeHostPorts: a pod's own go; where nobody has any, also where the chain has never been, nothing is wrong", {
  skip,
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-iptables-"));
  const before = process.env.PATH;
  const holder = spawn("unshare", ["--net", "cat"]); // it ends with its input
  const ended = once(holder, "exit");
  using reaper = new Reaper();
  try {
    holder.stdin.write("here");
    await once(holder.stdout, "data");
    for (const [name, place] of found) {
      const script = `#!/bin/sh\nexec nsenter --net=/proc/${holder.pid}/ns/net ${place} "$@"\n`;
      await writeFile(path.join(folder, name), script, { mode: 0o755 });
    }
    process.env.PATH = `${folder}:${before}`;
    const iptables = async (...args: string[]) => {
      const { stdout } = await promisify(execFile)("iptables", ["-w", "-t", "nat", ...args]);
      return stdout.split("\n").filter((line) => line.includes("CNI-"));
    };
    const remove = async () => await removeHostPorts({ reaper, timeoutMs: 30_000 }, "c1");
    await remove();
    const chains = ["CNI-HOSTPORT-DNAT", "CNI-DN-0a", "CNI-DN-0b"];
    for (const chain of chains) await iptables("-N", chain);
    const rule = (id: string) => ["-m", "comment", "--comment", `dnat name: "net" id: "${id}"`];
    await iptables("-A", "CNI-HOSTPORT-DNAT", ...rule("c1"), "-j", "CNI-DN-0a");
    await iptables("-A", "CNI-HOSTPORT-DNAT", ...rule("c11"), "-j", "CNI-DN-0b");
    await iptables("-A", "CNI-DN-0a", "-p", "tcp", "-j", "DNAT", "--to-destination", "10.1.2.3:80");
    for (const _time of [1, 2]) await remove();
    const left = await iptables("-S");
    assert.deepEqual(left.slice(0, -1).sort(), ["-N CNI-DN-0b", "-N CNI-HOSTPORT-DNAT"]);
    assert.match(left.at(-1) ?? "", /c11.* -j CNI-DN-0b$/);
    await iptables("-F");
    for (const chain of ["CNI-DN-0b", "CNI-HOSTPORT-DNAT"]) await iptables("-X", chain);
    await remove();
  } finally {
    process.env.PATH = before;
    holder.stdin.end();
    await ended;
    await rm(folder, { recursive: true });
  }
});
