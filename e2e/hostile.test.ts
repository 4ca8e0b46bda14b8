// Hostile clients through the API server, the kubelet and the runtime, while somebody works.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { connect } from "node:tls";
import { loadKubeconfig } from "@hawser/client";
import { openRemoteCommand } from "@hawser/streaming";
import { type Attack, attacks, launch } from "@hawser/streaming/testing";
import { processes } from "@hawser/testing";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";

/** What a hop may have grown by when the attack is over, bytes: what V8 has not given back is in it. */
const mayGrow = 96 * 1024 * 1024;

describe("hostile clients of a cluster", () => {
  let cluster: OwnCluster;
  before(async () => {
    cluster = await startOwnCluster();
    await cluster.runPod("web", ["--image=busybox", "--", "sleep", "100000"]);
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  /** Resident memory of the hops, bytes. */
  async function resident(): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (const { pid, args } of await processes()) {
      const [, hop] = /^hawser-(apiserver|kubelet|runtime)\b/.exec(args) ?? [];
      if (!hop) continue;
      const environment = await readFile(`/proc/${pid}/environ`, "latin1");
      if (!environment.includes(cluster.dataDir)) continue; // another cluster's
      const [, size] = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
      found.set(hop, Number(size) * 1024);
    }
    return found;
  }

  it("an exec outlives three of each attack, and no hop keeps what they brought", { timeout: 120_000 }, async () => {
    const config = await loadKubeconfig({ path: cluster.kubeconfig });
    const headers = Object.fromEntries(
      Object.entries(await config.headers()).map(([name, value]) => [name, String(value)]),
    );
    const query = "container=web&command=cat&stdin=true&stdout=true";
    const url = new URL(`/api/v1/namespaces/default/pods/web/exec?${query}`, config.server);
    await using session = await openRemoteCommand(
      { url, headers, tls: config.tls },
      { stdin: true, stdout: true, stderr: false, tty: false, transports: ["spdy"] },
    );
    assert.ok(session.stdout && session.stdin);
    const { stdin } = session;
    const output = session.stdout[Symbol.asyncIterator]();
    const echo = async () => {
      await stdin.write(Buffer.from("hello\n"));
      assert.equal(Buffer.from((await output.next()).value ?? []).toString(), "hello\n");
    };
    await echo();
    const before = await resident();
    assert.deepEqual([...before.keys()].sort(), ["apiserver", "kubelet", "runtime"]);

    const attack = async (which: Attack) => {
      const socket = connect({ ...config.tls, host: config.server.hostname, port: Number(config.server.port) });
      await once(socket, "secureConnect");
      // Streams that do not come are waited for half a minute; this test is not.
      const signal = AbortSignal.timeout(which.ending === "dropped" ? 2000 : 20_000);
      const path = url.pathname + url.search;
      const { statusCode, said } = await launch(socket, which, { path, headers, signal });
      assert.equal(statusCode, 101, which.name);
      if (which.ending === "told")
        assert.ok(said === 1 || [1002, 1007, 1009].includes(said ?? 0), `${which.name}: ${said}`);
    };
    const waiting = [...attacks, ...attacks, ...attacks];
    const attackers = Array.from({ length: 12 }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await attack(next);
    });
    const over = Promise.all(attackers).then(() => true);
    while (!(await Promise.race([over, echo().then(() => false)]))) {
      // echo() is what is looked at: it rejects when the session suffers
    }
    await echo();
    for (const [hop, size] of await resident()) {
      const grown = size - (before.get(hop) ?? 0);
      assert.ok(grown < mayGrow, `the ${hop} has grown by ${Math.round(grown / 2 ** 20)} MiB`);
    }
    await stdin.close();
    assert.equal((await session.status).status, "Success");
  });
});
