// What the post reads in the sources of the runtime's side: the streaming Server, the CRI calls, the runtime's own
// server. Asked of our runtime by a client of the CRI, where the post's kubelet would ask.
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import {
  type CRIConnection,
  connectCRI,
  create,
  createStreamingServer,
  ExecRequestSchema,
  ExecResponseSchema,
} from "@hawser/cri";
import { eventually, must, newestKubectl, processes } from "@hawser/testing";
import type { PostLab } from "./post-lab.ts";

const pod = "exec-test-nginx";

export function runtimeScenario(lab: () => PostLab): void {
  describe("the runtime's side", () => observations(lab));
}

function observations(lab: () => PostLab): void {
  let cri: CRIConnection;
  let containerId = "";
  let podSandboxId = "";
  before(async () => {
    cri = await connectCRI({ endpoint: `unix://${lab().paths.runtimeSocket}` });
    const { containers } = await cri.runtime.listContainers({
      filter: { labelSelector: { "io.kubernetes.pod.name": pod } },
    });
    assert.equal(containers.length, 1);
    containerId = containers[0]?.id ?? "";
    podSandboxId = containers[0]?.podSandboxId ?? "";
  });
  after(() => cri?.close());
  const streams = { stdin: false, stdout: true, stderr: false, tty: false };

  describe("P11 the streaming Server: getExec, getAttach, getPortForward, start, stop", () => {
    it("each answers a URL with a token that opens one session, and none without", async () => {
      const server = createStreamingServer({
        runtime: {
          exec: () => Promise.reject(new Error("not reached")),
          attach: () => Promise.reject(new Error("not reached")),
          portForward: () => Promise.reject(new Error("not reached")),
        },
      });
      void server.start(true).catch(() => {});
      try {
        const urls = await eventually("it listens", () => [
          server.getExec(create(ExecRequestSchema, { containerId, cmd: ["sh"], ...streams })).url,
          server.getAttach({ containerId, ...streams } as never).url,
          server.getPortForward({ podSandboxId, port: [80] } as never).url,
        ]);
        assert.equal(new Set(urls).size, 3);
        for (const [index, kind] of ["exec", "attach", "portforward"].entries()) {
          assert.match(urls[index] ?? "", new RegExp(`^http://127\\.0\\.0\\.1:\\d+/${kind}/[\\w-]{8,}$`));
        }
        for (const url of urls) {
          assert.notEqual(await statusOf(url), 404, "the token is known, though no upgrade was asked for");
          assert.equal(await statusOf(url), 404, "and then used");
        }
      } finally {
        await server.stop();
      }
      await assert.rejects(statusOf("http://127.0.0.1:1/"), /ECONNREFUSED/);
    });

    it("the runtime's own: a used and an unknown token are 404 pages", async () => {
      const { url } = await cri.runtime.exec({ containerId, cmd: ["true"], ...streams });
      const { hostname, port, pathname } = new URL(url);
      assert.equal(hostname, "127.0.0.1");
      const get = async (path: string) => {
        const talk = `exec 3<>/dev/tcp/${hostname}/${port}; printf 'GET ${path} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3; head -n 1 <&3`;
        return must(lab().onWorker(["bash", "-c", talk]));
      };
      assert.doesNotMatch(await get(pathname), / 404 /);
      assert.match(await get(pathname), / 404 /);
      assert.match(await get("/exec/AAAAAAAA"), / 404 /);
    });
  });

  it("P12 /runtime.v1.RuntimeService/Exec and /runtime.v1alpha2.RuntimeService/Exec", async () => {
    const client = new Client(`unix://${lab().paths.runtimeSocket}`, credentials.createInsecure());
    try {
      for (const version of ["v1", "v1alpha2"]) {
        const path = `/runtime.${version}.RuntimeService/Exec`;
        const message = create(ExecRequestSchema, { containerId, cmd: ["sh"], ...streams });
        const url = await new Promise<string>((resolve, reject) => {
          client.makeUnaryRequest(
            path,
            (value: typeof message) => Buffer.from(toBinary(ExecRequestSchema, value)),
            (bytes: Buffer) => fromBinary(ExecResponseSchema, bytes),
            message,
            (err, answer) => (err ? reject(err) : resolve(answer?.url ?? "")),
          );
        });
        assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]+$/, path);
      }
    } finally {
      client.close();
    }
  });

  it("P13 every RuntimeService method the post lists, with the idempotence its comments promise", async () => {
    const { runtime } = cri;
    const uid = `p13-${process.pid}`;
    const config = {
      metadata: { name: "p13", namespace: "default", uid, attempt: 0 },
      logDirectory: `${lab().paths.dataDir}/p13`,
      linux: { cgroupParent: "/hawser-p13" },
    };
    assert.equal((await runtime.version({})).runtimeApiVersion, "v1");
    const sandbox = (await runtime.runPodSandbox({ config })).podSandboxId;
    assert.equal((await runtime.podSandboxStatus({ podSandboxId: sandbox })).status?.state, 0, "ready on success");
    assert.ok((await runtime.listPodSandbox({ filter: { id: sandbox } })).items.length === 1);
    const container = {
      metadata: { name: "c", attempt: 0 },
      image: { image: "docker.io/library/busybox:latest" },
      command: ["sleep", "3600"],
      logPath: "c.log",
    };
    await cri.images.pullImage({ image: { image: "docker.io/library/busybox:latest" } });
    const request = { podSandboxId: sandbox, config: container, sandboxConfig: config };
    const id = (await runtime.createContainer(request)).containerId;
    await runtime.startContainer({ containerId: id });
    assert.equal((await runtime.listContainers({ filter: { id } })).containers[0]?.state, 1, "running");
    assert.equal((await runtime.containerStatus({ containerId: id })).status?.state, 1);
    await runtime.updateContainerResources({ containerId: id, linux: { cpuShares: 512n } });
    await runtime.reopenContainerLog({ containerId: id });
    const sync = await runtime.execSync({ containerId: id, cmd: ["sh", "-c", "echo out; exit 4"], timeout: 5n });
    assert.deepEqual([Buffer.from(sync.stdout).toString(), sync.exitCode], ["out\n", 4]);
    assert.match((await runtime.exec({ containerId: id, cmd: ["sh"], ...streams })).url, /\/exec\//);
    assert.match((await runtime.attach({ containerId: id, ...streams })).url, /\/attach\//);
    assert.match((await runtime.portForward({ podSandboxId: sandbox, port: [80] })).url, /\/portforward\//);
    assert.ok((await runtime.containerStats({ containerId: id })).stats?.memory);
    assert.ok((await runtime.listContainerStats({ filter: { id } })).stats.length === 1);
    await runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr: "" } } });
    assert.ok((await runtime.status({})).status?.conditions.every(({ status }) => status));

    // "This call is idempotent, and must not return an error if …": each of them twice, then of what never was.
    for (let turn = 0; turn < 2; turn++) await runtime.stopContainer({ containerId: id, timeout: 0n });
    for (let turn = 0; turn < 2; turn++) await runtime.removeContainer({ containerId: id });
    await runtime.removeContainer({ containerId: "0".repeat(64) });
    for (let turn = 0; turn < 2; turn++) await runtime.stopPodSandbox({ podSandboxId: sandbox });
    for (let turn = 0; turn < 2; turn++) await runtime.removePodSandbox({ podSandboxId: sandbox });
    await runtime.removePodSandbox({ podSandboxId: "0".repeat(64) });
    await assert.rejects(runtime.podSandboxStatus({ podSandboxId: sandbox }), /not found/i);

    // Removal of a sandbox with a container in it terminates and removes the container "forcibly".
    const second = (
      await runtime.runPodSandbox({ config: { ...config, metadata: { ...config.metadata, attempt: 1 } } })
    ).podSandboxId;
    const inside = (await runtime.createContainer({ ...request, podSandboxId: second })).containerId;
    await runtime.startContainer({ containerId: inside });
    await runtime.stopPodSandbox({ podSandboxId: second });
    assert.equal((await runtime.containerStatus({ containerId: inside })).status?.state, 2, "exited");
    await runtime.removePodSandbox({ podSandboxId: second });
    await assert.rejects(runtime.containerStatus({ containerId: inside }), /not found/i);
  });

  it("P15 the runtime's server says what it has: runtime, network, streaming, seccomp, AppArmor, operations counted and timed", async () => {
    const { info } = await cri.runtime.status({ verbose: true });
    const own = JSON.parse(info.config ?? "{}");
    assert.match(own.ociRuntime.name, /^(crun|runc)$/);
    assert.match(own.ociRuntime.reason, /./);
    assert.match(own.appArmor, /./); // whether it is there, in words
    assert.ok(own.seccomp.runtimeDefault);
    assert.ok(own.idMappings);
    assert.match(own.network.bridge, /^hawser/);
    assert.equal(own.network.hostPorts, "portmap");
    assert.equal(own.streaming.address, "127.0.0.1");

    const before = await execOperations();
    await cri.runtime.exec({ containerId, cmd: ["true"], ...streams });
    await assert.rejects(cri.runtime.exec({ containerId: "f".repeat(64), cmd: ["true"], ...streams }));
    const after = await execOperations();
    assert.equal(after.total, before.total + 2);
    assert.equal(after.errors, before.errors + 1);
    assert.equal(after.timed, before.timed + 2);
  });

  /** How many Exec calls the runtime has counted, how many errors of them, and how many it has timed. */
  async function execOperations(): Promise<{ total: number; errors: number; timed: number }> {
    const { metrics = "" } = (await cri.runtime.status({ verbose: true })).info;
    const value = (name: string) =>
      Number(new RegExp(`^hawser_runtime_${name}\\{operation="Exec"\\} (\\d+)`, "m").exec(metrics)?.[1] ?? 0);
    return {
      total: value("operations_total"),
      errors: value("operations_errors_total"),
      timed: value("operations_duration_seconds_count"),
    };
  }

  it("P16 an exec is a process of the OCI runtime's making: crun --root … exec --process FILE ID", async () => {
    await using session = lab().piped(["exec", "-i", pod, "--", "cat"], { kubectl: await newestKubectl() });
    const found = await eventually("the OCI runtime's command line", async () =>
      (await processes()).find(
        ({ args }) =>
          /(crun|runc) .*--root[= ]\S+ .*exec .*--process[= ]\S+/.test(args) &&
          args.includes(containerId) &&
          !args.includes("--console-socket"),
      ),
    );
    const [child] = await eventually("its child", async () => {
      const children = (await processes()).filter(({ ppid, args }) => ppid === found.pid && args === "cat");
      return children.length > 0 && children;
    });
    assert.equal(child?.tty, 0);
    session.child.stdin?.end();
    assert.deepEqual(await session.exit, { code: 0, signal: null });
  });
}

function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on("error", reject).end();
  });
}
