// Hostile clients through the API server, the kubelet and the runtime, while somebody works.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect } from "node:tls";
import { loadKubeconfig } from "@hawser/client";
import { openRemoteCommand } from "@hawser/streaming";
import { type Attack, attacks, launch } from "@hawser/streaming/testing";
import type { Hop } from "hawser";
import { type Held, heldBy, measurably } from "./memory.ts";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";

const hops = ["apiserver", "kubelet", "runtime"] as const;
const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
/** What a hop may hold more when the attack is over, bytes: code it had not run before is in it. */
const mayHold = 8 * 2 ** 20;
/** What a hop's memory may have grown by, bytes: V8 gives its pages back when it thinks fit. */
const mayGrow = 32 * 2 ** 20;

describe("hostile clients of a cluster", () => {
  let cluster: OwnCluster;
  before(async () => {
    cluster = await measurably(() => startOwnCluster());
    await cluster.runPod("web", ["--image=busybox", "--", "sleep", "100000"]);
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  /** What each hop holds, whatever its garbage collector has not come round to. */
  async function held(): Promise<Map<Hop, Held>> {
    const found = new Map<Hop, Held>();
    for (const hop of hops) {
      const { pid } = JSON.parse(await readFile(join(cluster.paths.run, `${hop}.pid`), "utf8"));
      found.set(hop, await heldBy(cluster, hop, pid));
    }
    return found;
  }

  it("an exec outlives three of each attack, and no hop keeps what they brought", { timeout: 120_000 }, async (t) => {
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
    const before = await held();

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
    let over = false;
    const attacked = Promise.all(attackers).finally(() => {
      over = true;
    });
    attacked.catch(() => undefined); // told below
    while (!over) await echo(); // it rejects when the session suffers
    await attacked;
    await echo();
    for (const [hop, { reachable, pss }] of await held()) {
      const was = before.get(hop);
      assert.ok(was);
      t.diagnostic(
        `${hop}: ${mebibytes(reachable - was.reachable)} reachable more, ${mebibytes(pss - was.pss)} resident`,
      );
      assert.ok(reachable - was.reachable < mayHold, `the ${hop} holds ${mebibytes(reachable - was.reachable)} more`);
      assert.ok(pss - was.pss < mayGrow, `the ${hop} has grown by ${mebibytes(pss - was.pss)}`);
    }
    await stdin.close();
    assert.equal((await session.status).status, "Success");
  });
});
