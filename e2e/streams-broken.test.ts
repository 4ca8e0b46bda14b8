// Sessions that break: by a relay that cuts, by kill -9 of each hop, by clients that vanish. Nothing of it is a success, and
// nothing of it stays.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { dialUpgrade } from "@hawser/streaming";
import { startRelay } from "@hawser/streaming/testing";
import { background, eventually, newMark, run } from "@hawser/testing";
import { type Hop, type Launcher, up } from "hawser";
import { makeNetwork } from "./cut-network.ts";
import { genuineSessions, opened } from "./genuine-sessions.ts";
import { groupOf, zombiesOf } from "./remains.ts";
import {
  type Client,
  createPod,
  kubeconfigFor,
  long,
  type StreamCluster,
  sleepers,
  startStreamCluster,
} from "./stream-cluster.ts";

/** Of the API server and the kubelet of these tests. */
const peerTimeoutMs = 2000;

describe("streams that break", () => {
  let cluster: StreamCluster;
  const launcher: Launcher = (hop, command) =>
    hop === "runtime" ? command : [...command, "--stream-peer-timeout", `${peerTimeoutMs / 1000}s`];
  before(async () => {
    cluster = await startStreamCluster(
      { launcher },
      { command: ["sh", "-c", "echo ready; exec sleep 1000000"] },
      { streaming: { creationTimeoutSeconds: 1 }, exec: { graceSeconds: 0.5 } },
    );
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const pidOf = async (hop: Hop): Promise<number> =>
    JSON.parse(await readFile(join(cluster.paths.run, `${hop}.pid`), "utf8")).pid;
  const gone = (word: string, timeoutMs = 30_000) =>
    eventually(`${word} goes`, async () => (await sleepers(word)).length === 0, { timeoutMs });

  describe("a relay before the API server cuts", () => {
    const moments = {
      "when the session is open": { script: "echo ready; sleep 1000", after: 0 },
      "in the middle of the output": { script: "echo ready; head -c 20000000 /dev/zero; sleep 1000", after: 3_000_000 },
      "when all output has come, and no Status": { script: "echo ready; exec >&- 2>&-; sleep 1000", after: 0 },
    };
    for (const [moment, { script, after: bytes }] of Object.entries(moments)) {
      for (const how of ["FIN", "RST"] as const) {
        it(`${moment}, by ${how}: no client ends with success that can tell, ours says why, and the process goes`, async () => {
          const ours = ["true", "false"].map((transport) => ({
            ...cluster.hawser,
            env: { ...cluster.hawser.env, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: transport },
          }));
          // Others' ways to take it are the same by both, but for the words.
          const genuine = long || how === "FIN" ? cluster.kubectls : [];
          const breakOff = async (client: Client) => {
            await using relay = await startRelay(cluster.apiPort);
            const kubeconfig = await kubeconfigFor(cluster, `https://127.0.0.1:${relay.port}`);
            const word = newMark();
            const line = client.command(["exec", "box", "--", "sh", "-c", script.replace("1000", word)], kubeconfig);
            await using session = background(line, { env: client.env });
            await session.saw("ready");
            await eventually("enough has come", () => relay.returned >= bytes);
            relay.cut(how);
            const { code } = await session.exit;
            if (client.name === "hawser") {
              assert.equal(code, 255, session.stderr());
              assert.match(session.stderr(), /^error: the session broke off: \S.*\n\S/, moment);
            } else if (client.webSockets) assert.equal(code, 1, `${client.name}: ${session.stderr()}`);
            // else: over SPDY kubectl takes the end of its own connection for the command's success, whoever the server is
            await gone(word);
          };
          const clients = [...ours, ...genuine];
          while (clients.length > 0) await Promise.all(clients.splice(0, 4).map(breakOff));
        });
      }
    }
  });

  it("a relay that passes nothing more, and a kubelet that stands still: ours ends in the time that is set, and names the hop; a genuine kubectl is told", async () => {
    await using relay = await startRelay(cluster.apiPort);
    const throughRelay = await kubeconfigFor(cluster, `https://127.0.0.1:${relay.port}`);
    const kubelet = await pidOf("kubelet");
    const word = newMark();
    const exec = ["exec", "-i", "box", "--", "sh", "-c", `echo ready; sleep ${word}`];
    const cases: { args: string[]; kubeconfig: string | undefined; webSockets: string; named: RegExp }[] = [
      "true",
      "false",
    ].flatMap((webSockets) => [
      { args: exec, kubeconfig: throughRelay, webSockets, named: /\nThe API server https:\S+ does not answer: / },
      {
        args: ["port-forward", "box", ":80"],
        kubeconfig: throughRelay,
        webSockets,
        named: /\nThe API server https:\S+ does not/,
      },
      {
        args: exec,
        kubeconfig: undefined,
        webSockets,
        named: /\nThe API server answers, and the kubelet of node node-1 does not: /,
      },
    ]);
    // A log that is quiet, which goes by a request of its own.
    const log = { args: ["logs", "-f", "box"], webSockets: "true" };
    cases.push(
      { ...log, kubeconfig: throughRelay, named: /\nThe API server https:\S+ does not answer: / },
      { ...log, kubeconfig: undefined, named: /\nThe API server answers, and the kubelet of node node-1 does not: / },
    );
    await using stack = new AsyncDisposableStack();
    const sessions = await Promise.all(
      cases.map(async ({ args: [verb = "", ...args], kubeconfig, webSockets, named }) => {
        const line = cluster.hawser.command([verb, "--stream-peer-timeout=1s", ...args], kubeconfig);
        const env = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets, KUBECTL_PORT_FORWARD_WEBSOCKETS: webSockets };
        const session = stack.use(background(line, { env: { ...cluster.hawser.env, ...env } }));
        await opened(session);
        return { session, named };
      }),
    );
    const words = /the kubelet of node "node-1" has sent nothing, and answered no ping, for \d/;
    const genuineEnd = await genuineSessions(cluster, stack, word, words);
    try {
      process.kill(kubelet, "SIGSTOP");
      relay.freeze();
      const begin = performance.now();
      for (const { session, named } of sessions) {
        const { code } = await session.exit;
        assert.equal(code, 255, session.stderr());
        assert.match(session.stderr(), /^error: the (session|log) broke off: /m);
        assert.match(session.stderr(), named);
      }
      // Twice the time, a fourth of it until a look, and the questions to the hops: 5 s, on a machine that does nothing else. Unset it would be a minute.
      assert.ok(performance.now() - begin < 30_000, `${performance.now() - begin} ms`);
      await genuineEnd();
    } finally {
      process.kill(kubelet, "SIGCONT");
    }
    await relay[Symbol.asyncDispose]();
    await gone(word);
  });

  it("a runtime that stands still: a genuine kubectl's exec and port-forward end, and it is named", async () => {
    const word = newMark();
    const runtime = await pidOf("runtime");
    await using stack = new AsyncDisposableStack();
    const genuineEnd = await genuineSessions(
      cluster,
      stack,
      word,
      /the container runtime has sent nothing, and answered no ping, for \d/,
    );
    try {
      process.kill(runtime, "SIGSTOP");
      await genuineEnd();
    } finally {
      process.kill(runtime, "SIGCONT");
    }
    await gone(word);
  });

  for (const hop of ["runtime", "kubelet", "apiserver"] as const) {
    it(`kill -9 of the ${hop} in the middle of sessions: a failure for every client, ours has its own code and names the hop, and nothing stays`, async () => {
      const word = newMark();
      const ours = ["true", "false"].map((webSockets) => ({
        ...cluster.hawser,
        env: { ...cluster.hawser.env, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets },
      }));
      await using stack = new AsyncDisposableStack();
      const sessions = await Promise.all(
        [...ours, ...cluster.kubectls].map(async ({ name, command, env, webSockets }) => {
          const line = command(["exec", "-i", "box", "--", "sh", "-c", `echo ready; sleep ${word}`]);
          const session = stack.use(background(line, { env }));
          await session.saw("ready");
          return { name, webSockets, session };
        }),
      );
      try {
        process.kill(await pidOf(hop), "SIGKILL");
        const named = {
          apiserver: /\nThe API server https:\S+ does not answer: /,
          kubelet: /\nThe API server answers, and the kubelet of node node-1 does not: /,
          runtime: /\nThe API server and the kubelet of node node-1 answer: .* at the container runtime/,
        }[hop];
        for (const { name, webSockets, session } of sessions) {
          const { code } = await session.exit;
          if (name === "hawser") {
            assert.equal(code, 255, session.stderr());
            assert.match(session.stderr(), named);
          } else if (webSockets || hop !== "apiserver") {
            assert.equal(code, 1, `${name}: ${session.stderr()}`);
            // The API server itself says nothing any more.
            const words = hop === "apiserver" ? /close 1006/ : /^(error|Error from server): .*the session broke off: /m;
            assert.match(session.stderr(), words, name);
          }
        }
        if (hop !== "runtime") await gone(word);
      } finally {
        await stack.disposeAsync();
        await up({ dataDir: cluster.dataDir, launcher });
      }
      await gone(word); // what a killed runtime was running ends when it is back
      assert.equal(await eventually("the pod serves again", () => cluster.inBox("echo again")), "again");
    });
  }

  it("logs -f of a kubelet that is killed: what came, then an error of its own code that names the hop; and again after its restart", async () => {
    const command = ["sh", "-c", "i=0; while sleep 0.1; do i=$((i+1)); echo line $i; done"];
    await createPod(cluster, "talker", { command });
    const { env } = cluster.hawser;
    const follow = cluster.hawser.command(["logs", "-f", "talker"]);
    const numbers = (text: string) => [...text.matchAll(/^line (\d+)$/gm)].map(([, number]) => Number(number));
    let last = 0;
    try {
      await using following = background(follow, { env });
      await following.saw(/^line 5$/m);
      process.kill(await pidOf("kubelet"), "SIGKILL");
      const { code } = await following.exit;
      assert.equal(code, 255, following.stderr());
      assert.match(
        following.stderr(),
        /^error: the log broke off: \S.*\nThe API server answers, and the kubelet of node node-1 does not: /,
      );
      last = numbers(following.stdout()).at(-1) ?? 0;
      const whole = await run(cluster.hawser.command(["logs", "talker"]), { env });
      assert.notEqual(whole.code, 0, "without its kubelet there is no log");
    } finally {
      await up({ dataDir: cluster.dataDir, launcher });
    }
    await using again = background(follow, { env });
    await again.saw(new RegExp(`^line ${last + 20}$`, "m"));
    const all = numbers(again.stdout());
    assert.deepEqual(
      all,
      Array.from(all, (_, index) => index + 1),
      "every line, also those of the time without a kubelet",
    );
  });

  it("clients killed by -9: the processes go, and no descriptor, zombie or cgroup of theirs stays", async () => {
    const hops = await Promise.all((["apiserver", "kubelet", "runtime"] as const).map(pidOf));
    /** Descriptors of each hop. */
    const state = () => Promise.all(hops.map(async (pid) => (await readdir(`/proc/${pid}/fd`)).length));
    await cluster.inBox("true"); // what is opened once is open then
    const idle = await state();
    for (const { name, command, env } of cluster.clients) {
      const word = newMark();
      let groups: string[] = [];
      const line = command(["exec", "-i", "box", "--", "sh", "-c", `echo ready; trap '' HUP; sleep ${word}`]);
      {
        await using stack = new AsyncDisposableStack();
        const sessions = Array.from({ length: 4 }, () => stack.use(background(line, { env })));
        await Promise.all(sessions.map((session) => session.saw("ready")));
        await eventually("all sleep", async () => (await sleepers(word)).length === 4);
        groups = (
          await Promise.all((await sleepers(word)).map(async (pid) => groupOf(pid, await pidOf("runtime"))))
        ).flat();
        assert.equal(new Set(groups).size, 4, "a cgroup for each");
        const begin = performance.now();
        for (const session of sessions) session.child.kill("SIGKILL");
        await gone(word);
        assert.ok(performance.now() - begin < 5000, `${name}: ${performance.now() - begin} ms`);
      }
      await eventually("the cgroups go", () => groups.every((group) => !existsSync(group)));
      let now = idle;
      const back = async () => {
        now = await state();
        // A hop's own connections to others come and go; of four sessions, four at least would stay.
        return now.every((count, index) => count < (idle[index] ?? 0) + 4);
      };
      await eventually("all is as before", back).catch((cause) => {
        throw new Error(`after ${name} there are ${now}, before there were ${idle}`, { cause });
      });
    }
    assert.deepEqual(await zombiesOf(hops), []);
  });

  // At each hop in its turn: none of them reads, since the process does not, and what is written to a dead peer tells of it.
  it("a client killed by -9 whose input nobody reads: the process goes all the same", {
    skip: !long && "make test-long",
  }, async () => {
    for (const { name, command, env } of cluster.clients) {
      const word = newMark();
      await using session = background(command(["exec", "-i", "box", "--", "sleep", word]), { env });
      await eventually("it sleeps", async () => (await sleepers(word)).length === 1);
      session.write("x".repeat(128 * 1024 * 1024)); // more than all the kernel's buffers on the way take
      let before = -1;
      const full = () => {
        const same = session.child.stdin.writableLength === before;
        before = session.child.stdin.writableLength;
        return same && before > 0;
      };
      await eventually("nothing is taken any more", full, { everyMs: 500 });
      session.child.kill("SIGKILL");
      await gone(word, 40_000).catch((cause) => {
        throw new Error(name, { cause });
      });
    }
  });

  it("the network goes without a FIN: the process gets a hang-up and is gone within the time that is set", async () => {
    await using network = await makeNetwork();
    const kubeconfig = await kubeconfigFor(cluster, `https://${network.here}:${cluster.apiPort}`);
    // The API server's certificate names 127.0.0.1.
    const text = await readFile(kubeconfig, "utf8");
    await writeFile(kubeconfig, text.replace(/^( *)(server: \S+)/m, "$1$2\n$1tls-server-name: 127.0.0.1"));
    const cases = cluster.clients.flatMap((client) => [
      // TCP's keepalive: it takes its time.
      ...(long ? [{ client, script: (word: string) => `echo ready; sleep ${word}`, timeoutMs: 11_000 }] : []),
      {
        // Bytes are under way: TCP's keepalive is silent then.
        client,
        script: (word: string) => `echo ready; sleep ${word} & while sleep 0.3; do echo more; done`,
        timeoutMs: 8_000,
      },
    ]);
    await using stack = new AsyncDisposableStack();
    const started = await Promise.all(
      cases.map(async ({ client, script, timeoutMs }) => {
        const word = newMark();
        const hungUp = `/tmp/hup-${word}`;
        const remote = `trap 'touch ${hungUp}; exit' HUP; ${script(word)} & wait`;
        const patience = client === cluster.hawser ? [`--stream-peer-timeout=${peerTimeoutMs / 1000}s`] : [];
        const line = client.command(["exec", "-i", ...patience, "box", "--", "sh", "-c", remote], kubeconfig);
        const session = stack.use(background(network.inside(line), { env: client.env }));
        await session.saw("ready");
        return { name: client.name, word, hungUp, timeoutMs, session };
      }),
    );
    const begin = performance.now();
    await network.cut();
    await Promise.all(
      started.map(async ({ name, word, timeoutMs }) => {
        // The time that is set, looks in between, the grace after the hang-up, and the machine's own.
        await gone(word, timeoutMs + peerTimeoutMs + 5000).catch((error) => {
          throw new Error(`${name}, ${timeoutMs}: ${error.message}`, { cause: error });
        });
        assert.ok(performance.now() - begin < timeoutMs + peerTimeoutMs + 5000, name);
      }),
    );
    for (const { name, hungUp } of started) assert.equal(await cluster.inBox(`ls ${hungUp}`), hungUp, name);
    assert.match(await cluster.log("apiserver"), /session broke off.*has acknowledged nothing for 2 s/);
    for (const { name, session } of started.filter(({ name }) => name === "hawser")) {
      const { code } = await session.exit;
      assert.equal(code, 255, session.stderr());
      assert.match(
        session.stderr(),
        /broke off: .*(acknowledged nothing for 2 s|answered no ping)[\s\S]*\nThe API server/,
        name,
      );
    }
  });

  it("a session that nobody uses ends after the idle time with a word, and its process with it", async () => {
    const { runtimeConfig } = JSON.parse(await readFile(cluster.paths.settings, "utf8"));
    const settings = JSON.parse(await readFile(runtimeConfig, "utf8"));
    settings.streaming.idleTimeoutSeconds = 3;
    await writeFile(runtimeConfig, JSON.stringify(settings));
    process.kill(await pidOf("runtime"), "SIGHUP");
    await eventually("the setting is read", async () => /idleTimeoutSeconds/.test(await cluster.log("runtime")));
    const word = newMark();
    const line = cluster.hawser.command(["exec", "-i", "box", "--", "sleep", word]);
    await using session = background(line, { env: cluster.hawser.env });
    await eventually("it sleeps", async () => (await sleepers(word)).length > 0);
    const { code } = await session.exit;
    assert.equal(code, 1);
    assert.match(session.stderr(), /the session was ended: nothing was sent or received for 3 s/);
    await gone(word);
  });

  it("a client that opens no streams is dropped after the creation time", async () => {
    const { config } = cluster.client;
    const url = new URL("/api/v1/namespaces/default/pods/box/exec?command=true&stdout=true", config.server);
    const begin = performance.now();
    const { socket } = await dialUpgrade({
      url,
      method: "POST",
      tls: config.tls,
      headers: {
        ...(await config.headers({})),
        Connection: "Upgrade",
        Upgrade: "SPDY/3.1",
        "X-Stream-Protocol-Version": "v4.channel.k8s.io",
      },
    });
    for await (const _ of socket); // to its end
    const milliseconds = performance.now() - begin;
    assert.ok(milliseconds > 900 && milliseconds < 5000, `${milliseconds} ms`);
  });
});
