import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { serveCRI } from "@hawser/cri";
import { runningDaemon } from "./daemon.ts";
import { down, takeDown } from "./down.ts";
import type { Hop } from "./paths.ts";
import { clusterPaths } from "./paths.ts";
import { identify, isAlive, type ProcessIdentity, terminate } from "./proc.ts";
import { type ClusterSettings, readSettings, writeSettings } from "./settings.ts";
import { type UpOptions, up } from "./up.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

/** A data directory whose "hops" are fakes, so that only starting and stopping is under test. */
async function fakeCluster(faults: Partial<Record<Hop, string>> = {}) {
  const parent = await mkdtemp(join(tmpdir(), "hawser-up-"));
  const dataDir = join(parent, "data");
  const launcher = (hop: Hop, [node = ""]: string[]) => [
    node,
    join(import.meta.dirname, "testing/fake-hop.ts"),
    dataDir,
    hop,
    faults[hop] ?? "",
  ];
  const options: UpOptions = {
    dataDir,
    launcher,
    runtimeEndpoint: "unix:///nowhere.sock", // so no runtime is started
    probe: { apiReady: async () => {}, nodeReady: async () => {} },
  };
  return {
    parent,
    dataDir,
    paths: clusterPaths(dataDir),
    faults,
    options,
    async [Symbol.asyncDispose]() {
      await down({ dataDir, launcher });
      await rm(parent, { recursive: true });
    },
  };
}

test("up: starts the hops, and a second up finds them", { skip }, async () => {
  await using cluster = await fakeCluster();
  const first = await up(cluster.options);
  assert.deepEqual(first.started, ["apiserver", "kubelet"]);
  const second = await up(cluster.options);
  assert.deepEqual(second.started, []);
  assert.deepEqual(second.pids, first.pids);
});

test("up: a node name or a data directory that cannot be is refused at once", { skip }, async () => {
  await using cluster = await fakeCluster();
  const badName = up({ ...cluster.options, nodeName: "Bad_Name" });
  await assert.rejects(badName, /^Error: --node-name "Bad_Name": a lowercase RFC 1123 subdomain must consist of/);
  const tooLong = up({ ...cluster.options, dataDir: join(cluster.parent, "x".repeat(100)) });
  await assert.rejects(tooLong, /bytes too long for a socket; choose a shorter --data-dir/);
  assert.deepEqual(await readdir(cluster.parent), []);
});

test("up: two at once start one cluster", { skip }, async () => {
  await using cluster = await fakeCluster();
  const both = await Promise.all([up(cluster.options), up(cluster.options)]);
  assert.deepEqual(both.map(({ started }) => started.length).sort(), [0, 2]);
  assert.deepEqual(both[0].pids, both[1].pids);
});

test("up: starts again just the hop that died", { skip }, async () => {
  await using cluster = await fakeCluster();
  const first = await up(cluster.options);
  const apiserver = await runningDaemon(cluster.paths, "apiserver");
  assert.ok(apiserver);
  process.kill(apiserver.pid, "SIGKILL");
  while (await isAlive(apiserver)) await new Promise(setImmediate);
  const second = await up(cluster.options);
  assert.deepEqual(second.started, ["apiserver"]);
  assert.equal(second.pids.kubelet, first.pids.kubelet);
  assert.notEqual(second.pids.apiserver, first.pids.apiserver);
});

test("up: refuses to change what a running cluster was started with", { skip }, async () => {
  await using cluster = await fakeCluster();
  await up({ ...cluster.options, apiPort: 7001 });
  await assert.rejects(
    up({ ...cluster.options, apiPort: 7002 }),
    /runs with --api-port 7001; to change that to 7002, first: hawser down/,
  );
});

for (const hop of ["apiserver", "kubelet"] as const) {
  test(`up: the ${hop} that cannot start is quoted, and nothing is left behind`, { skip }, async () => {
    await using cluster = await fakeCluster({ [hop]: "dies" });
    await assert.rejects(
      up(cluster.options),
      new RegExp(`the ${hop} ended at once \\(exit code 7\\)[^]*no luck today`),
    );
    assert.deepEqual(await readdir(cluster.parent), []);
  });
}

test("up: an abort takes everything back", { skip }, async () => {
  await using cluster = await fakeCluster();
  const controller = new AbortController();
  const probe = {
    apiReady: async () => {},
    nodeReady: async () => {
      controller.abort(new Error("stopped by SIGINT"));
      await new Promise(() => {});
    },
  };
  await assert.rejects(up({ ...cluster.options, probe, signal: controller.signal }), /stopped by SIGINT/);
  assert.deepEqual(await readdir(cluster.parent), []);
});

test("up: a folder with something else in it is left alone", { skip }, async () => {
  await using cluster = await fakeCluster();
  await mkdir(cluster.dataDir);
  await writeFile(join(cluster.dataDir, "thesis.tex"), "");
  await assert.rejects(up(cluster.options), /is not empty and holds no cluster/);
  assert.equal(await down({ dataDir: cluster.dataDir }), false);
  assert.deepEqual(await readdir(cluster.dataDir), ["thesis.tex"]);
});

test("up: says who has a port", { skip }, async () => {
  await using cluster = await fakeCluster();
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address && typeof address === "object");
  const { launcher: _none, ...options } = cluster.options;
  await assert.rejects(
    up({ ...options, apiPort: address.port }),
    new RegExp(
      `port ${address.port}, wanted for the API server, is in use by .* \\(process ${process.pid}\\); choose another with --api-port`,
    ),
  );
  server.close();
  assert.deepEqual(await readdir(cluster.parent), []);
});

test("down: finds daemons whose pid files are lost, and those that ignore SIGTERM", { skip }, async () => {
  await using cluster = await fakeCluster({ kubelet: "stubborn" });
  const { pids } = await up(cluster.options);
  await rm(cluster.paths.run, { recursive: true });
  assert.equal(await down({ dataDir: cluster.dataDir }), true);
  for (const pid of Object.values(pids)) assert.equal(await identify(pid), undefined);
  assert.deepEqual(await readdir(cluster.parent), []);
});

test("down --keep-data: keeps the cluster's files, and up starts it again with the same settings", {
  skip,
}, async () => {
  await using cluster = await fakeCluster();
  await up({ ...cluster.options, nodeName: "worker-7" });
  await down({ dataDir: cluster.dataDir, keepData: true });
  assert.equal(await runningDaemon(cluster.paths, "apiserver"), undefined);
  const again = await up(cluster.options);
  assert.deepEqual(again.started, ["apiserver", "kubelet"]);
  assert.equal(again.settings.nodeName, "worker-7");
});

test("down: what the runtime cannot undo is told at the end, and what another down needs stays", { skip }, async () => {
  await using cluster = await fakeCluster();
  const { dataDir, paths } = cluster;
  await up(cluster.options);
  const settings = { ...(await readSettings(paths)), runtimeEndpoint: undefined } as ClusterSettings;
  await writeSettings(paths, settings);
  await mkdir(paths.runtimeRoot);
  await writeFile(join(paths.runtimeRoot, "runtime.json"), "{}");
  const saying = (code: number) => () => ["/bin/sh", "-c", `echo ports are stuck >&2; exit ${code}`];
  await assert.rejects(down({ dataDir, launcher: saying(1) }), {
    message: `this could not be undone:\n  cannot remove the containers below ${paths.runtimeRoot}: ports are stuck\nmend that, and try again: hawser down --data-dir ${dataDir}`,
  });
  assert.ok((await readdir(dataDir)).includes("pki"), "nobody knows what is there still");
  await assert.rejects(down({ dataDir, launcher: saying(3) }), /ports are stuck/);
  assert.deepEqual((await readdir(dataDir)).sort(), ["cluster.json", "runtime"]);
  assert.deepEqual(await readdir(paths.runtimeRoot), ["runtime.json"]);
  assert.equal(await runningDaemon(paths, "apiserver"), undefined);
  assert.equal(await down({ dataDir, launcher: () => ["/bin/true"] }), true);
  assert.deepEqual(await readdir(cluster.parent), []);
});

test("down: a process that does not end keeps nothing else from being undone, and is told of once", {
  skip,
}, async () => {
  await using cluster = await fakeCluster();
  const { dataDir, paths } = cluster;
  const { pids } = await up(cluster.options);
  const told = (pid: number | undefined) => `process ${pid} does not end`;
  const endProcess = async (process: ProcessIdentity) => {
    if (process.pid === pids.kubelet) throw new Error(told(process.pid));
    await terminate([process], 5_000);
  };
  const settings = { ...(await readSettings(paths)), runtimeEndpoint: undefined } as ClusterSettings;
  const launcher = () => ["/bin/sh", "-c", "echo ports are stuck >&2; exit 1"];
  await assert.rejects(takeDown({ paths, settings, launcher, endProcess }, { keepData: false }), {
    message: `this could not be undone:\n  ${told(pids.kubelet)}\n  cannot remove the containers below ${paths.runtimeRoot}: ports are stuck\nmend that, and try again: hawser down --data-dir ${dataDir}`,
  });
  assert.equal(await runningDaemon(paths, "apiserver"), undefined);
  assert.ok(await runningDaemon(paths, "kubelet"), "its pid file stays for the next down");
  assert.equal(await down({ dataDir }), true);
  assert.equal(await runningDaemon(paths, "kubelet"), undefined);
  assert.deepEqual(await readdir(cluster.parent), []);
});

test("down: a pod that another's runtime cannot remove keeps no other pod, and is told of", { skip }, async () => {
  await using cluster = await fakeCluster();
  const { dataDir, paths } = cluster;
  const socketPath = join(cluster.parent, "cri.sock");
  await up({ ...cluster.options, runtimeEndpoint: `unix://${socketPath}` });
  for (const uid of ["u1", "u2"]) await mkdir(join(paths.kubeletRoot, "pods", uid), { recursive: true });
  let ill = true;
  let stuck = true;
  const pods = new Set(["u1", "u2", "another's"]);
  const item = (uid: string) => ({ id: uid, metadata: { name: `pod-${uid}`, namespace: "default", uid, attempt: 0 } });
  await using _server = await serveCRI({
    socketPath,
    images: {},
    runtime: {
      version: async () => ({ version: "0.1.0", runtimeName: "fake", runtimeVersion: "1", runtimeApiVersion: "v1" }),
      listPodSandbox: async () => {
        if (ill) throw new Error("no time");
        return { items: [...pods].map(item) };
      },
      stopPodSandbox: async ({ podSandboxId }) => {
        if (stuck && podSandboxId === "u1") throw new Error("ports are stuck");
        return {};
      },
      removePodSandbox: async ({ podSandboxId }) => {
        pods.delete(podSandboxId);
        return {};
      },
    },
  });
  await assert.rejects(down({ dataDir }), /pods of this cluster in unix:[^ ]+: no time/);
  assert.deepEqual((await readdir(dataDir)).sort(), ["cluster.json", "kubelet"]);
  ill = false;
  await assert.rejects(down({ dataDir }), /pod default\/pod-u1 in unix:[^ ]+: ports are stuck/);
  assert.deepEqual([...pods], ["u1", "another's"]);
  stuck = false;
  assert.equal(await down({ dataDir }), true);
  assert.deepEqual([...pods], ["another's"]);
  assert.deepEqual(await readdir(cluster.parent), ["cri.sock"]);
});
