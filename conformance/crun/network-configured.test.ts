// A network that others have configured, as calico and flannel do: by the genuine plugins, whatever becomes of its file.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { NamespaceMode } from "@hawser/cri";
import { removeEverything } from "@hawser/runtime";
import { freePort } from "@hawser/testing";
import { podAddresses } from "./support/addresses.ts";
import { sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

const run = promisify(execFile);
const plugins = "/usr/lib/cni";
const bridge = `hwt${process.pid}`;

/** Notes what it is asked, hands on what the plugin before it gave, and fails where `ill-COMMAND` is there. */
const recorder = (folder: string) => `#!/bin/sh
config=$(cat); name=\${0##*/}
echo "$CNI_COMMAND $name $([ -e "$CNI_NETNS" ] && echo there) $config" >> ${folder}/calls
[ $name = ill ] && [ -e ${folder}/ill-$CNI_COMMAND ] && echo '{"code":11,"msg":"not today"}' && exit 1
[ $CNI_COMMAND = ADD ] || exit 0
result=\${config#*'"prevResult":'}; echo "\${result%?}"
`;

describe("a network that others have configured", { timeout: 90_000 }, () => {
  const stack = new AsyncDisposableStack();
  const cidr = podAddresses();
  let folder: string;
  let confDir: string;
  let runtime: TestRuntime;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "hawser-cni-"));
    stack.defer(() => rm(folder, { recursive: true }));
    confDir = path.join(folder, "net.d");
    const own = path.join(folder, "bin");
    await mkdir(own);
    for (const name of ["one", "two", "ill"]) await writeFile(path.join(own, name), recorder(folder), { mode: 0o755 });
    runtime = stack.use(await startTestRuntime({ config: { cniConfDir: confDir, cniBinDir: `${own}:${plugins}` } }));
    stack.defer(async () => {
      await run("ip", ["link", "delete", bridge]).catch(() => undefined); // a test may not have come to it
    });
  });
  after(() => stack.disposeAsync());

  const rpc = () => runtime.cri.runtime;
  const put = (name: string, text: string) => writeFile(path.join(confDir, name), text);
  const putList = (name: string, ...list: object[]) =>
    put(name, JSON.stringify({ cniVersion: "0.4.0", name: "strange", plugins: list }));
  const ipam = () => ({ type: "host-local", ranges: [[{ subnet: cidr }]], dataDir: path.join(folder, "ipam") });
  const bridged = () => ({ type: "bridge", bridge, isGateway: true, ipam: ipam() });
  const notReady = async () => {
    const { status, info } = await rpc().status({ verbose: true });
    const condition = status?.conditions.find(({ type }) => type === "NetworkReady");
    return { reason: condition?.status ? "" : `${condition?.reason}: ${condition?.message}`, info };
  };
  const addresses = async () => {
    const names = await readdir(path.join(folder, "ipam", "strange")).catch(() => []);
    return names.filter((name) => /^\d/.test(name) && name !== cidr.replace(/0\/24$/, "1"));
  };
  const calls = async () => {
    const text = await readFile(path.join(folder, "calls"), "utf8").catch(() => "");
    await rm(path.join(folder, "calls"), { force: true });
    return text.split("\n").filter(Boolean);
  };
  const kinds = (lines: string[]) => lines.map((line) => line.split(" ").slice(0, 2).join(" "));
  const addressOf = async (podSandboxId: string) =>
    (await rpc().podSandboxStatus({ podSandboxId })).status?.network?.ip;

  const verbose = async (podSandboxId: string) => {
    const { info } = await rpc().podSandboxStatus({ podSandboxId, verbose: true });
    return JSON.parse(info.info ?? "") as { netns: string; cniResult: { interfaces: { name: string }[] } };
  };

  it("is waited for: only pods on the node's network run until it is there; what is no network is told of", async () => {
    const uninitialized = /^NetworkPluginNotReady: Network plugin returns error: cni plugin not initialized: /;
    const refused = async (words: RegExp) => {
      const { reason } = await notReady();
      assert.match(reason, uninitialized);
      assert.match(reason, words);
      const message = new RegExp(`cni plugin not initialized: .*${words.source}`);
      await assert.rejects(rpc().runPodSandbox({ config: sandboxConfig() }), { message });
    };
    await refused(/no network config found/);
    const onNode = sandboxConfig({ linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } });
    const { podSandboxId } = await rpc().runPodSandbox({ config: onNode });
    await rpc().removePodSandbox({ podSandboxId });
    await mkdir(confDir);
    await put("README", "no network");
    await refused(/no network config found/);
    await put("10-half.conflist", '{"cniVersion":"0.4.0","name":"strange","plugi');
    await refused(/10-half\.conflist: .*JSON/);
    await put("10-half.conflist", "x".repeat(100_000));
    await refused(/10-half\.conflist: larger than/);
    await rm(path.join(confDir, "10-half.conflist"));
    assert.deepEqual(await readdir(path.join(runtime.root, "sandboxes")), []);
    await putList("10-strange.conflist", { type: "absent" });
    assert.equal(
      (await notReady()).reason,
      `NetworkPluginNotReady: CNI plugins not found in ${folder}/bin:${plugins}: absent`,
    );
    await rm(path.join(confDir, "10-strange.conflist"));
  });

  it("is run as a list, with what plugins want to know of a pod; a pod leaves it as it came, whatever becomes of its file", async () => {
    const capabilities = { portMappings: true };
    const hostPort = await freePort();
    await putList(
      "10-strange.conflist",
      bridged(),
      { type: "tuning", sysctl: { "net.core.somaxconn": "517" } },
      { type: "one", capabilities: { bandwidth: true } },
      { type: "portmap", capabilities },
      { type: "bandwidth", capabilities: { bandwidth: true } },
    );
    const { reason, info } = await notReady();
    assert.equal(reason, "");
    assert.equal(info.lastCNILoadStatus, "OK");
    assert.equal(JSON.parse(info.cniconfig ?? "").Networks[0].Config.Name, "strange");
    const annotations = { "kubernetes.io/ingress-bandwidth": "10M" };
    const first = await startContainer(
      runtime.cri,
      {},
      sandboxConfig({ portMappings: [{ containerPort: 80, hostPort }], annotations }),
    );
    const ip = await addressOf(first.podSandboxId);
    assert.deepEqual(await addresses(), [ip]);
    const { stdout } = await sh(runtime.cri, first.containerId, "cat /proc/sys/net/core/somaxconn; ls /sys/class/net");
    assert.deepEqual(stdout.trim().split("\n"), ["517", "eth0", "lo"]);
    const natted = async () => (await run("iptables-save", ["-t", "nat"])).stdout.includes(`--to-destination ${ip}:80`);
    assert.ok(await natted());
    const { cniResult } = await verbose(first.podSandboxId);
    const link = cniResult.interfaces.find(({ name }) => name.startsWith("veth"))?.name ?? "";
    assert.match((await run("tc", ["qdisc", "show", "dev", link])).stdout, /tbf .*rate 10Mbit/);
    const [asked = ""] = await calls();
    assert.match(
      asked,
      /^ADD one there .*"runtimeConfig":\{"bandwidth":\{"ingressRate":10000000,"ingressBurst":4294967295\}\}/,
    );

    // Another network takes its place, which is no list but one plugin, and comes first.
    await put("05-ptp.conf", JSON.stringify({ cniVersion: "0.3.1", name: "strange", type: "ptp", ipam: ipam() }));
    const second = await startContainer(runtime.cri);
    await put("05-ptp.conf", '{"cniVersion":');
    assert.equal((await notReady()).reason, "", "the one of before stays");
    assert.match((await notReady()).info.lastCNILoadStatus ?? "", /05-ptp\.conf/);
    const third = await startContainer(runtime.cri);
    assert.equal((await addresses()).length, 3);
    for (const { podSandboxId, containerId } of [second, third]) {
      const { stdout: links } = await sh(runtime.cri, containerId, "cat /proc/net/route");
      const own = await addressOf(podSandboxId);
      assert.match(links, /^eth0\t/m);
      assert.ok((await addresses()).includes(own ?? ""));
    }
    await rm(confDir, { recursive: true });
    await runtime.restart({}); // with the runtime's own network
    assert.equal((await notReady()).reason, "");
    await rpc().removePodSandbox({ podSandboxId: third.podSandboxId });
    assert.equal((await addresses()).length, 2);
    const own = await startContainer(runtime.cri);
    const place = path.resolve((await verbose(own.podSandboxId)).netns, "../../ipam");
    const ownAddress = await addressOf(own.podSandboxId);
    const isGiven = async () =>
      (await readdir(place, { recursive: true })).some((name) => name.endsWith(`/${ownAddress}`));
    assert.ok(await isGiven());
    await runtime.restart();
    assert.match((await notReady()).reason, /not initialized/);
    assert.equal(await addressOf(first.podSandboxId), ip);
    for (const { podSandboxId } of [own, first, second]) await rpc().removePodSandbox({ podSandboxId });
    assert.ok(!(await isGiven()));
    assert.deepEqual(await addresses(), []);
    assert.ok(!(await natted()));
    const [gone = "", ...more] = await calls();
    assert.deepEqual(more, []);
    assert.match(gone, new RegExp(`^DEL one there .*"bandwidth".*"prevResult":.*"${ip?.replaceAll(".", "\\.")}/24"`));
  });

  it("is asked whether it is ready, where its version has a word for that", async () => {
    await mkdir(confDir);
    const text = (cniVersion: string) =>
      JSON.stringify({ cniVersion, name: "strange", plugins: [{ type: "one" }, { type: "ill" }] });
    await put("10-strange.conflist", text("1.1.0"));
    assert.equal((await notReady()).reason, "");
    assert.deepEqual(kinds(await calls()), ["STATUS one", "STATUS ill"]);
    await writeFile(path.join(folder, "ill-STATUS"), "");
    const reason = "NetworkPluginNotReady: Network plugin returns error: CNI plugin ill, STATUS: not today";
    assert.equal((await notReady()).reason, reason);
    await rm(path.join(folder, "ill-STATUS"));
    await put("10-strange.conflist", text("1.0.0"));
    await calls();
    assert.equal((await notReady()).reason, "");
    assert.deepEqual(await calls(), []);
  });

  it("that fails half-way is left by all of its plugins, the last one first; one that a pod does not come out of is asked again", async () => {
    await putList("10-strange.conflist", bridged(), { type: "one" }, { type: "ill" }, { type: "two" });
    await writeFile(path.join(folder, "ill-ADD"), "");
    const told = { message: /CNI plugin ill, ADD: not today/ };
    await assert.rejects(rpc().runPodSandbox({ config: sandboxConfig() }), told);
    assert.deepEqual(kinds(await calls()), ["ADD one", "ADD ill", "DEL two", "DEL ill", "DEL one"]);
    await writeFile(path.join(folder, "ill-DEL"), "");
    await assert.rejects(rpc().runPodSandbox({ config: sandboxConfig() }), told);
    assert.deepEqual(kinds(await calls()), ["ADD one", "ADD ill", "DEL two", "DEL ill", "DEL one"]);
    assert.deepEqual(await addresses(), []);
    assert.deepEqual(await readdir(path.join(runtime.root, "sandboxes")), [], "nobody would ask for it again");

    await rm(path.join(folder, "ill-ADD"));
    const { podSandboxId } = await startContainer(runtime.cri);
    await calls();
    const stuck = { message: /CNI plugin ill, DEL: not today/ };
    await assert.rejects(rpc().stopPodSandbox({ podSandboxId }), stuck);
    await assert.rejects(rpc().removePodSandbox({ podSandboxId }), stuck);
    await rm(path.join(folder, "ill-DEL"));
    await rpc().removePodSandbox({ podSandboxId });
    const asked = await calls();
    assert.deepEqual(kinds(asked), Array.from({ length: 3 }, () => ["DEL two", "DEL ill", "DEL one"]).flat());
    for (const line of asked) assert.match(line, /^DEL \w+ there .*"prevResult"/);
    assert.deepEqual(await addresses(), []);
  });

  it("lets go who finds nothing of a pod any more, and is told results in its own version", async () => {
    const other =
      '#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\ncat >/dev/null; echo \'{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.9/24"}]}\'\n';
    await writeFile(path.join(folder, "bin/older"), other, { mode: 0o755 });
    const list = {
      cniVersion: "1.0.0",
      name: "strange",
      plugins: [bridged(), { type: "portmap" }, { type: "sbr" }, { type: "older" }],
    };
    await put("10-strange.conflist", JSON.stringify(list));
    const { podSandboxId } = await startContainer(runtime.cri);
    const { netns } = await verbose(podSandboxId);
    await run("umount", [netns]); // as a reboot does; sbr then fails for want of it
    await rm(netns);
    await rpc().stopPodSandbox({ podSandboxId });
    await rpc().removePodSandbox({ podSandboxId });
    assert.deepEqual(await addresses(), []);
    await rpc().removePodSandbox(await startContainer(runtime.cri)); // portmap is told 1.0.0 where `older` has said 0.4.0
    await putList("10-strange.conflist", bridged(), { type: "one" }, { type: "ill" }, { type: "two" });
    await calls();
  });

  it("is left by pods whose runtime's root is removed, also when a reboot has taken their namespaces", async () => {
    const { podSandboxId } = await startContainer(runtime.cri);
    const { netns } = await verbose(podSandboxId);
    await calls();
    await run("umount", [netns]);
    await rm(netns);
    await writeFile(path.join(folder, "ill-DEL"), "");
    const message = /network strange of pod default\/pod-\d+: CNI plugin ill, DEL: not today/;
    await assert.rejects(async () => await runtime[Symbol.asyncDispose](), { name: "NetworkRemainsError", message });
    assert.deepEqual(await addresses(), []);
    await rm(path.join(folder, "ill-DEL"));
    await removeEverything(runtime.root);
    await rm(runtime.root, { recursive: true });
    assert.deepEqual(kinds(await calls()), Array.from({ length: 2 }, () => ["DEL two", "DEL ill", "DEL one"]).flat());
  });
});
