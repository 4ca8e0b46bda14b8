// `hawser node …` and its short forms, as programs, against our runtime and Debian's containerd: the same answers.
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { type CRIConnection, connectCRI, create, PodSandboxConfigSchema } from "@hawser/cri";
import { background, eventually, run } from "@hawser/testing";
import { startContainerd, whyNoContainerd } from "../containerd/containerd.ts";
import { image } from "../crun/support/runtime.ts";
import { fromSources, hawser, startRuntimeProcess } from "./runtime-process.ts";

interface Peer {
  endpoint: string;
  folder: string;
  image: string;
  cgroupParent: string;
}

const script = "echo out; echo err >&2; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo last";

test("our runtime", { skip: process.getuid?.() === 0 ? false : "needs root" }, async () => {
  await using runtime = await startRuntimeProcess();
  await exercise({ ...runtime, image, cgroupParent: "" });
});

test("Debian's containerd", { skip: (await whyNoContainerd()) ?? false }, async () => {
  await using containerd = await startContainerd();
  await exercise({ ...containerd, cgroupParent: containerd.cgroupParent });
});

async function exercise(peer: Peer): Promise<void> {
  using cri = await connectCRI({ endpoint: peer.endpoint });
  const { podSandboxId, containerId } = await startPod(cri, peer);
  const env = { ...fromSources, CONTAINER_RUNTIME_ENDPOINT: peer.endpoint };
  const node = async (...argv: string[]) => {
    const { code, stdout, stderr } = await run(hawser(...argv), { env });
    assert.deepEqual([code, stderr], [0, ""], argv.join(" "));
    return stdout;
  };
  const short = (id: string) => id.slice(0, 13);

  const running = (await node("ps")).split("\n").find((line) => line.startsWith(short(containerId))) ?? "";
  assert.match(running, new RegExp(` Running +main +0 +${short(podSandboxId)} +web +default$`));
  assert.ok(running.includes(peer.image.split(":")[0] ?? "?"), running);
  assert.equal(await node("ps", "-q", "--label", "app=web"), `${containerId}\n`);
  assert.equal(await node("ps", "-q", "--label", "app=other"), "");
  const [container] = JSON.parse(await node("ps", "-o", "json")).containers;
  assert.deepEqual(
    [container.id, container.state, container.metadata],
    [containerId, "CONTAINER_RUNNING", { name: "main", attempt: 0 }],
  );
  assert.match(await node("ps", "--pods"), new RegExp(`^POD ID .*\n${short(podSandboxId)} .* Ready +web +default +0 `));
  assert.equal(await node("node", "pods", "-q", "--state", "ready"), `${podSandboxId}\n`);
  assert.match(await node("images"), new RegExp(`^${peer.image.split(":")[0]} +latest +[0-9a-f]{13} +[0-9.]+MB$`, "m"));

  for (const [words, kind, id] of [
    [[containerId.slice(0, 10)], "container", containerId],
    [["main"], "container", containerId],
    [[podSandboxId], "sandbox", podSandboxId],
    [["default/web"], "sandbox", podSandboxId],
    [["--type", "image", peer.image], "image", undefined],
  ] as const) {
    const answer = JSON.parse(await node("inspect", ...words));
    assert.equal(answer.kind, kind);
    if (id !== undefined) assert.equal(answer.status.id, id);
    assert.equal(typeof answer.info, "object");
  }
  assert.ok(JSON.parse(await node("inspect", "main")).info.pid > 0);

  const stats = await node("stats", "main");
  assert.match(stats, new RegExp(`\n${short(containerId)} +main +web +[0-9.]+ +[0-9.]+k?M?B +`));
  assert.equal(JSON.parse(await node("node", "info")).status.conditions.length, 2);

  await eventually("both lines are logged", async () => {
    const { stdout, stderr } = await run(hawser("node", "logs", "main"), { env });
    return stdout === "out\n" && stderr === "err\n";
  });
  const tail = ["logs", "--container-id", containerId.slice(0, 12), "-t", "--tail", "1", "--since", "1h"];
  const { stdout, stderr } = await run(hawser(...tail), { env });
  assert.match(stdout + stderr, /^\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00) (out|err)\n$/);
  await using following = background(hawser("logs", "--container-id", containerId, "-f"), { env });
  await following.saw("out");
  await cri.runtime.execSync({ containerId, cmd: ["touch", "/tmp/go"], timeout: 10n });
  assert.deepEqual(await following.exit, { code: 0, signal: null });
  assert.equal(following.stdout(), "out\nlast\n");

  assert.equal(await node("ps", "-q"), "", "it has ended");
  assert.equal(await node("ps", "-a", "-q"), `${containerId}\n`);
  const missing = await run(hawser("inspect", "none"), { env });
  assert.deepEqual([missing.code, missing.stderr], [1, 'error: no container, sandbox or image "none" here\n']);
  await cri.runtime.stopPodSandbox({ podSandboxId });
  assert.equal(await node("node", "pods", "-q", "--state", "notready"), `${podSandboxId}\n`);
}

async function startPod(cri: CRIConnection, { folder, image: name, cgroupParent }: Peer) {
  const config = create(PodSandboxConfigSchema, {
    metadata: { name: "web", namespace: "default", uid: "uid-web", attempt: 0 },
    hostname: "web",
    logDirectory: path.join(folder, "logs"),
    labels: { app: "web" },
    linux: { ...(cgroupParent && { cgroupParent: `${cgroupParent}/web` }) },
  });
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config });
  const { containerId } = await cri.runtime.createContainer({
    podSandboxId,
    config: {
      metadata: { name: "main", attempt: 0 },
      image: { image: name },
      labels: { app: "web" },
      command: ["sh", "-c", script],
      logPath: "main.log",
    },
    sandboxConfig: config,
  });
  await cri.runtime.startContainer({ containerId });
  return { podSandboxId, containerId };
}
