import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { Reaper } from "../native/reaper.ts";
import { plugin } from "./cni.ts";
import { connect, disconnect } from "./connect.ts";
import { ownMembership } from "./own.ts";

describe("CNI plugins", () => {
  let binDir: string;
  const reaper = new Reaper();
  before(async () => {
    binDir = await mkdtemp(path.join(tmpdir(), "hawser-cni-"));
    const script = `#!/bin/sh
read config
echo "$CNI_COMMAND $(basename $0) $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS $config" >> ${binDir}/calls
[ "$(basename $0)" != loopback ] && [ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}'
exit 0`;
    for (const name of ["bridge", "loopback", "portmap"]) {
      await writeFile(path.join(binDir, name), script);
      await chmod(path.join(binDir, name), 0o755);
    }
    await writeFile(
      path.join(binDir, "refuses"),
      `#!/bin/sh\necho '{"code":7,"msg":"no address","details":"pool is empty"}'\nexit 1`,
    );
    await chmod(path.join(binDir, "refuses"), 0o755);
  });
  after(async () => {
    reaper[Symbol.dispose]();
    await rm(binDir, { recursive: true });
  });
  const network = () => ({
    cni: { reaper, binDir, timeoutMs: 30_000 },
    name: "hawser0",
    podCIDR: "10.1.2.0/24",
    ipamDir: "/ipam",
    netnsDir: "/netns",
    ready: async () => {},
  });
  const connection = {
    id: "c1",
    podName: "web;X=1",
    podNamespace: "default",
    podUID: "u",
    portMappings: [{ protocol: "tcp" as const, containerPort: 80, hostPort: 8080, hostIP: "" }],
  };

  it("are asked for loopback and bridge, and for portmap when there are ports", async () => {
    const record = await connect(network(), "/ns", connection);
    assert.deepEqual(record, { netns: "/ns", ips: ["10.1.2.3"], portMappings: connection.portMappings });
    const calls = (await readFile(path.join(binDir, "calls"), "utf8")).trim().split("\n");
    assert.deepEqual(calls.map((line) => line.split(" ").slice(0, 4).join(" ")).sort(), [
      "ADD bridge c1 eth0",
      "ADD loopback c1 lo",
      "ADD portmap c1 eth0",
    ]);
    assert.match(calls[0] ?? "", /K8S_POD_NAME=web_X_1;/, "a name cannot add arguments of its own");
    const toPortmap = calls.find((line) => line.includes("portmap")) ?? "";
    assert.match(toPortmap, /"runtimeConfig":\{"portMappings":\[.*8080.*"prevResult":.*10\.1\.2\.3/);
    await disconnect(network(), path.join(binDir, "no-such-ns"), { ...connection, portMappings: [] });
    assert.match(await readFile(path.join(binDir, "calls"), "utf8"), /DEL bridge/);
  });

  it("are quoted when they refuse", async () => {
    const config = { cniVersion: "1.0.0", name: "n", type: "refuses" };
    const attachment = { containerId: "c", netns: "/n", ifName: "eth0" };
    await assert.rejects(
      plugin({ reaper, binDir, timeoutMs: 30_000 }, "ADD", config, attachment),
      /no address: pool is empty/,
    );
    await assert.rejects(
      plugin({ reaper, binDir, timeoutMs: 30_000 }, "ADD", { ...config, ipam: { type: "its-own" } }, attachment),
      { name: "CNIError", message: /no address: pool is empty/ },
    );
    await assert.rejects(plugin({ reaper, binDir, timeoutMs: 30_000 }, "ADD", { ...config, type: "ptp" }, attachment), {
      name: "MissingPluginError",
      message: /^CNI plugin ptp is not in .*containernetworking-plugins$/,
    });
    await assert.rejects(
      plugin({ reaper, binDir, timeoutMs: 30_000 }, "ADD", { ...config, type: "none" }, attachment),
      { name: "MissingPluginError", message: `CNI plugin none is not in ${binDir}` },
    );
  });

  it("get a configuration made of our options", () => {
    const { list, capabilities } = ownMembership(network(), connection.portMappings);
    assert.equal(list.name, "hawser0");
    assert.partialDeepStrictEqual(list.plugins, [
      {
        type: "bridge",
        bridge: "hawser0",
        ipam: { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }]], dataDir: "/ipam" },
      },
      { type: "portmap", snat: true, capabilities: { portMappings: true } },
    ]);
    assert.deepEqual(capabilities, { portMappings: connection.portMappings });
    assert.equal(ownMembership(network(), []).list.plugins.length, 1, "portmap is spared those without ports");
  });
});
