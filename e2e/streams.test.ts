// The other ways to stream: attach, logs, port-forward, cp; by every kubectl, and by our own client.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { background, checkout, type Kubectl, kubectlCommand, kubectls, run } from "@hawser/testing";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";

const program = join(checkout, "packages/hawser/bin/hawser.cjs");

/** A client: a command line before its arguments. */
interface Client {
  name: string;
  command(args: string[]): string[];
}

describe("streams through the whole path", () => {
  let cluster: OwnCluster;
  let folder: string;
  let clients: Client[];
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-streams-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    cluster = stack.use(await startOwnCluster());
    await cluster.runPod("web", ["--image=nginx"]);
    const echo = { name: "echo", image: "busybox", stdin: true, command: ["sh", "-c", "echo up; exec cat"] };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "echo" }, spec: { containers: [echo] } };
    await cluster.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(pod) });
    await cluster.mustKubectl(["wait", "--for=condition=Ready", "pod/echo", "--timeout=60s"]);
    const place = { kubeconfig: cluster.kubeconfig };
    const genuine = (await kubectls()).map((kubectl: Kubectl) => ({
      name: `kubectl ${kubectl.version}`,
      command: (args: string[]) => kubectlCommand(kubectl, args, place),
    }));
    const own = (args: string[]) => [process.execPath, program, `--kubeconfig=${cluster.kubeconfig}`, ...args];
    clients = [...genuine, { name: "hawser", command: own }];
  });
  after(() => stack.disposeAsync());
  const env = () => ({ HOME: folder, KUBECONFIG: "" });

  it("logs, and logs that are followed", async () => {
    for (const { name, command } of clients) {
      const { code, stdout } = await run(command(["logs", "echo"]), { env: env() });
      assert.equal(code, 0, name);
      assert.match(stdout, /^up\n/, name);
      await using following = background(command(["logs", "-f", "--tail=1", "echo"]), { env: env() });
      await using typing = background(command(["attach", "-i", "echo"]), { env: env() });
      typing.write(`a line for ${name}\n`);
      await following.saw(`a line for ${name}\n`);
    }
  });

  it("attach: what is typed comes back, and leaving leaves the container running", async () => {
    for (const { name, command } of clients) {
      await using session = background(command(["attach", "-i", "echo"]), { env: env() });
      session.write(`hello from ${name}\n`);
      await session.saw(`hello from ${name}\n`);
    }
    const state = "jsonpath={.status.containerStatuses[0].restartCount} {.status.phase}";
    assert.equal(await cluster.mustKubectl(["get", "pod", "echo", "-o", state]), "0 Running");
  });

  it("port-forward: a page through it, several at once, and a port where nobody listens", async () => {
    for (const { name, command } of clients) {
      await using forward = background(command(["port-forward", "pod/web", ":80", ":81"]), { env: env() });
      await forward.saw(/127\.0\.0\.1:\d+ -> 80/);
      await forward.saw(/127\.0\.0\.1:\d+ -> 81/);
      const port = (target: number) =>
        Number(new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${target}`).exec(forward.output())?.[1]);
      const pages = await Promise.all(Array.from({ length: 5 }, () => page(port(80))));
      for (const text of pages) assert.match(text, /Welcome to nginx/, name);
      assert.equal(await page(port(81)), "", name);
      const why = name === "hawser" ? /error forwarding port 81: failed to connect to localhost:81/ : /stream reset/i;
      await forward.saw(why);
      // One connection's failure is not the others': upstream's kubelet has kubectl give up all of them.
      assert.match(await page(port(80)), /Welcome to nginx/, name);
    }
  });

  it("cp: a file goes in and comes back as it was", async () => {
    const content = Buffer.alloc(3 * 1024 * 1024, "hawser\0");
    const here = join(folder, "here");
    await writeFile(here, content);
    for (const { name, command } of clients) {
      const back = join(folder, "back");
      const there = await run(command(["cp", here, "web:/tmp/there"]), { env: env() });
      assert.equal(there.code, 0, `${name}: ${there.stderr}`);
      const again = await run(command(["cp", "web:/tmp/there", back]), { env: env() });
      assert.equal(again.code, 0, `${name}: ${again.stderr}`);
      assert.ok((await readFile(back)).equals(content), name);
      await rm(back);
    }
  });

  it("exec: ten at once, each with its own output and exit code", async () => {
    for (const { name, command } of clients) {
      const all = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          run(command(["exec", "web", "--", "sh", "-c", `echo ${index}; exit ${index}`]), { env: env() }),
        ),
      );
      assert.deepEqual(
        all.map(({ stdout, code }) => [stdout, code]),
        Array.from({ length: 10 }, (_, index) => [`${index}\n`, index]),
        name,
      );
    }
  });

  it("exec: 8 MiB out, and in, whole, by every client (streams-data.test.ts has more of it)", async () => {
    const size = 8 * 1024 * 1024;
    const input = Buffer.alloc(size, "0123456789abcde\n");
    for (const { name, command } of clients) {
      const out = await run(command(["exec", "web", "--", "head", "-c", String(size), "/dev/zero"]), { env: env() });
      assert.equal(out.stdout.length, size, name);
      const counted = await run(command(["exec", "-i", "web", "--", "wc", "-c"]), { env: env(), input });
      assert.equal(counted.stdout.trim(), String(size), `${name}: ${counted.stderr}`);
    }
  });
});

/** What a web server on a local port answers to GET /; empty when the connection is cut. */
async function page(port: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end("GET / HTTP/1.0\r\n\r\n");
  let text = "";
  try {
    for await (const chunk of socket) text += chunk;
  } catch {
    // Cut: that is an answer too.
  }
  return text;
}
