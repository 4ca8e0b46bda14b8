import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { openPortForward } from "@hawser/streaming";
import { eventually, freePort } from "@hawser/testing";
import { sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openAttach, readUntil, textOf } from "./support/session.ts";

const execute = promisify(execFile);

/** A TCP server in bash needs a helper; socat is on the test machine and is run inside the pod's network namespace. */
async function serveIn(netns: string, port: number, command: string, family = "TCP4"): Promise<Disposable> {
  const args = [`--net=${netns}`, "socat", "-t", "60", `${family}-LISTEN:${port},fork,reuseaddr`, `SYSTEM:${command}`];
  const child = execFile("nsenter", args);
  await eventually(async () => {
    const { stdout } = await execute("nsenter", [`--net=${netns}`, "ss", "-tln"]);
    return stdout.includes(`:${port} `);
  });
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

async function netnsOf(runtime: TestRuntime, podSandboxId: string): Promise<{ netns: string; ip: string }> {
  const { status, info } = await runtime.cri.runtime.podSandboxStatus({ podSandboxId, verbose: true });
  return { netns: JSON.parse(info.info ?? "{}").netns, ip: status?.network?.ip ?? "" };
}

function ask(host: string, port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    let answer = "";
    socket.setTimeout(20_000, () => socket.destroy(new Error("timed out")));
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("end", () => resolve(answer));
    socket.on("error", reject);
    socket.end(text);
  });
}

describe("attach, port-forward and network over crun", { timeout: 90_000 }, () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await startTestRuntime({ ociRuntime: "crun" });
  });
  after(() => runtime?.[Symbol.asyncDispose]());

  it("attaches to a shell's pipes, both outputs and stdin", async () => {
    const command = ["sh", "-c", "while read line; do echo out $line; echo err $line >&2; done; echo end"];
    const { podSandboxId, containerId } = await startContainer(runtime.cri, { command, stdin: true, stdinOnce: true });
    await using session = await openAttach(runtime.cri, { containerId, stdin: true });
    const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
    await session.stdin?.write(Buffer.from("hello\n"));
    await session.stdin?.close();
    assert.deepEqual(await outputs, ["out hello\nend\n", "err hello\n"]);
    assert.equal((await session.status).status, "Success");
    await runtime.cri.runtime.removePodSandbox({ podSandboxId });
  });

  it("keeps stdin open for the next client without stdinOnce", async () => {
    const command = ["sh", "-c", "while read line; do echo got $line; done"];
    const { podSandboxId, containerId } = await startContainer(runtime.cri, { command, stdin: true });
    for (const word of ["one", "two"]) {
      await using session = await openAttach(runtime.cri, { containerId, stdin: true });
      session.status.catch(() => undefined);
      assert.ok(session.stdout);
      const reader = session.stdout[Symbol.asyncIterator]();
      await session.stdin?.write(Buffer.from(`${word}\n`));
      await readUntil(reader, `got ${word}`);
    }
    const { status } = await runtime.cri.runtime.containerStatus({ containerId });
    assert.equal(status?.state, 1);
    await runtime.cri.runtime.removePodSandbox({ podSandboxId });
  });

  it("attaches to a terminal and resizes it", async () => {
    // Said again and again: a trap might not be set yet when the size changes.
    const command = ["sh", "-c", "while :; do stty size; sleep 0.05; done"];
    const { podSandboxId, containerId } = await startContainer(runtime.cri, { command, stdin: true, tty: true });
    await using session = await openAttach(runtime.cri, { containerId, stdin: true, tty: true });
    session.status.catch(() => undefined);
    assert.ok(session.stdout);
    const reader = session.stdout[Symbol.asyncIterator]();
    await session.resize({ width: 91, height: 17 });
    await readUntil(reader, "17 91");
    await runtime.cri.runtime.removePodSandbox({ podSandboxId });
  });

  it("forwards ports into the pod, with half-close, by either family", async () => {
    const { podSandboxId } = await startContainer(runtime.cri);
    const { netns } = await netnsOf(runtime, podSandboxId);
    using _v4 = await serveIn(netns, 8080, "cat");
    using _v6 = await serveIn(netns, 8081, "cat", "TCP6");
    const { url } = await runtime.cri.runtime.portForward({ podSandboxId, port: [] });
    await using session = await openPortForward({ url: new URL(url) });
    for (const port of [8080, 8081]) {
      for (let n = 0; n < 3; n++) {
        const connection = await session.connect(port);
        const answer = textOf(connection.source);
        await connection.sink.write(Buffer.from(`through ${port}`));
        await connection.sink.close();
        assert.equal(await answer, `through ${port}`);
      }
    }
    // A port nobody listens on ends that connection only.
    const refused = await session.connect(9999);
    refused.sink.write(Buffer.from("x")).catch(() => undefined);
    await textOf(refused.source).catch(() => "");
    const again = await session.connect(8080);
    const answer = textOf(again.source);
    await again.sink.close();
    assert.equal(await answer, "");
    await runtime.cri.runtime.removePodSandbox({ podSandboxId });
  });

  it("connects pods, the node and host ports", async () => {
    const [containerPort, hostPort] = [8080, await freePort()];
    const sandbox = sandboxConfig({ portMappings: [{ containerPort, hostPort, protocol: 0, hostIp: "" } as never] });
    const { podSandboxId, containerId } = await startContainer(runtime.cri, {}, sandbox);
    const other = await startContainer(runtime.cri);
    const { netns, ip } = await netnsOf(runtime, podSandboxId);
    using _server = await serveIn(netns, containerPort, "cat");
    assert.equal(await ask(ip, containerPort, "from the node"), "from the node");
    const viaPod = `exec 3<>/dev/tcp/${ip}/${containerPort}; echo from a pod >&3; read line <&3; echo $line`;
    const cmd = ["bash", "-c", viaPod];
    const { stdout } = await runtime.cri.runtime.execSync({ containerId: other.containerId, cmd, timeout: 5n });
    assert.equal(Buffer.from(stdout).toString(), "from a pod\n");
    assert.equal(await ask("127.0.0.1", hostPort, "by loopback"), "by loopback");
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((found) => found?.family === "IPv4" && !found.internal);
    if (outside) assert.equal(await ask(outside.address, hostPort, "by address"), "by address");
    // CVE-2020-8558: route_localnet must not open the node's loopback to pods.
    const { stdout: routes } = await sh(runtime.cri, containerId, "cat /proc/net/dev");
    assert.match(routes, /eth0/);
    for (const id of [podSandboxId, other.podSandboxId])
      await runtime.cri.runtime.removePodSandbox({ podSandboxId: id });
    await assert.rejects(ask("127.0.0.1", hostPort, "x"));
  });
});
