import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { releaseAddresses, removalOf } from "./by-hand.ts";

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
