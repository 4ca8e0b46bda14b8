// A client that does not read stops the process that writes, and costs each hop no more than 1 MiB meanwhile.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { background, eventually, newMark, processes } from "@hawser/testing";
import type { Hop } from "hawser";
import { heldBy, measurably } from "./memory.ts";
import { type Client, long, type StreamCluster, startStreamCluster } from "./stream-cluster.ts";

const MiB = 1024 * 1024;
const sessions = 16;
const hops = ["apiserver", "kubelet", "runtime"] as const;

interface Grown {
  hop: Hop;
  pss: number;
  reachable: number;
}

describe("streams: back-pressure", () => {
  let cluster: StreamCluster;
  before(async () => {
    cluster = await measurably(() => startStreamCluster());
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const pidOf = async (hop: Hop): Promise<number> =>
    JSON.parse(await readFile(join(cluster.paths.run, `${hop}.pid`), "utf8")).pid;
  const measure = async () =>
    Object.fromEntries(
      await Promise.all(hops.map(async (hop) => [hop, await heldBy(cluster, hop, await pidOf(hop))] as const)),
    );

  /** Starts clients that read nothing, of a process that writes without end (out), or that write to one that reads nothing (in). */
  async function stalled({ command, env }: Client, direction: "out" | "in") {
    const word = newMark();
    const remote = direction === "out" ? ["tail", "-c", `+${word}`, "/dev/zero"] : ["sleep", word];
    const pids = async () => {
      const all = await processes();
      return all.filter(({ args }) => args === remote.join(" ")).map(({ pid }) => pid);
    };
    const block = Buffer.alloc(MiB);
    const [program = "", ...args] = command(["exec", ...(direction === "in" ? ["-i"] : []), "box", "--", ...remote]);
    const clients = Array.from({ length: sessions }, () => {
      const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "ignore"] });
      child.stdin.on("error", () => {});
      // More than all the kernel's buffers on the way take.
      if (direction === "in") for (let n = 0; n < 128; n++) child.stdin.write(block);
      return child;
    });
    const settled = async () => {
      let last = "";
      await eventually(
        "nothing moves any more",
        async () => {
          const found = await pids();
          const moved = await Promise.all([
            ...found.map((pid) => readFile(`/proc/${pid}/io`, "utf8")),
            ...clients.map(({ pid }) => readFile(`/proc/${pid}/io`, "utf8")),
          ]);
          const now = moved.map((text) => /wchar: (\d+)/.exec(text)?.[1]).join();
          const still = found.length === sessions && now === last;
          last = now;
          return still;
        },
        { everyMs: 400, timeoutMs: 60_000 },
      );
    };
    return {
      settled,
      pids,
      async [Symbol.asyncDispose]() {
        const ends = clients.map(
          (child) => child.exitCode === null && child.signalCode === null && once(child, "close"),
        );
        for (const pid of await pids()) process.kill(pid, "SIGKILL");
        for (const child of clients) {
          child.stdout.destroy();
          if (direction === "out") child.kill("SIGKILL");
        }
        await Promise.all(ends);
        await eventually("their processes go", async () => (await pids()).length === 0);
      },
    };
  }

  /** What each hop holds more for a session that stands still, MiB. */
  async function growth(client: Client, direction: "out" | "in"): Promise<Grown[]> {
    const idle = await measure();
    await using busy = await stalled(client, direction);
    await busy.settled();
    if (direction === "out") {
      for (const pid of await busy.pids()) {
        assert.match(await readFile(`/proc/${pid}/stat`, "utf8"), /\) S /, "it sleeps in its write");
      }
    }
    const full = await measure();
    return hops.map((hop) => {
      const [before, now] = [idle[hop], full[hop]];
      assert.ok(before && now);
      const each = (bytes: number) => bytes / sessions / MiB;
      return { hop, pss: each(now.pss - before.pss), reachable: each(now.reachable - before.reachable) };
    });
  }

  for (const direction of ["out", "in"] as const) {
    const what = direction === "out" ? "a client that does not read" : "a process that does not read";
    it(`${what}: the writer blocks, and each hop holds at most 1 MiB for it`, { timeout: 200_000 }, async (t) => {
      // Oldest and newest kubectl: SPDY and WebSocket, one for each direction in the short form.
      const two = cluster.clients.slice(0, 2);
      for (const client of long ? cluster.clients : direction === "in" ? two.slice(0, 1) : two.slice(-1)) {
        {
          // Once, unmeasured: a heap that has been as large before grows no further by it.
          await using warm = await stalled(client, direction);
          await warm.settled();
        }
        // What a session holds shows each time; a heap in pieces does not.
        let grown: Grown[] = [];
        for (let round = 0; round < 3; round++) {
          grown = await growth(client, direction);
          if (grown.every(({ pss }) => pss <= 1)) break;
        }
        for (const { hop, pss, reachable } of grown) {
          const text = `${client.name}, ${hop}: ${reachable.toFixed(3)} MiB held, Pss ${pss.toFixed(3)} MiB a session`;
          t.diagnostic(text);
          assert.ok(reachable <= 1 && pss <= 1, text);
        }
      }
    });
  }

  it("sessions that stand still are alive: they go on when they are read, and end as they should", async () => {
    for (const { name, command, env } of cluster.clients) {
      await using session = background(
        ["sh", "-c", `"$@" | { read line; echo $line; head -c 20000000 | wc -c; }`, "sh"].concat(
          command(["exec", "box", "--", "sh", "-c", "echo first; head -c 20000000 /dev/zero"]),
        ),
        { env },
      );
      await session.exit;
      assert.equal(session.stdout(), "first\n20000000\n", name);
    }
  });
});
