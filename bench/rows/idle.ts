// Sessions that are open and do nothing, all at once on one node: what each costs at each hop, and whether all answer.
import { PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { exec } from "@hawser/client";
import { type Samples, samples, timed } from "../measure.ts";
import { daemonPid } from "../peers.ts";
import type { Row } from "../table.ts";
import { benchPod, type ClusterPeer } from "./cluster.ts";
import type { Effort } from "./cri.ts";
import { pss, pssOf, type WeighedPeer } from "./memory.ts";

/** Opened side by side: a server gives each a limited time. */
const opening = 16;
/** What all of them together get to end, once their input has, milliseconds. */
const closing = 60_000;

type IdlePeer = ClusterPeer & WeighedPeer;

/** `count` execs of `cat` through the API server. The pods named by `benchPod` run already. */
export async function idleRows(peers: readonly IdlePeer[], count: number, { signal }: Effort): Promise<Row[]> {
  const rows = new Map<string, Map<string, Samples | Error>>();
  const put = (title: string, name: string, value: Samples | Error) => {
    const cells = rows.get(title) ?? new Map<string, Samples | Error>();
    rows.set(title, cells.set(name, value));
  };
  const idle = `${count} idle sessions`;
  for (const peer of peers) {
    try {
      const { perSession, openedIn, answeredIn } = await measure(peer, count, signal);
      put(`${idle}: opened in, ms`, peer.name, samples("ms", [openedIn]));
      put(`${idle}: all have answered an echo in, ms`, peer.name, samples("ms", [answeredIn]));
      for (const [hop, weight] of perSession)
        put(`${idle}: ${hop}, Pss per session, KB`, peer.name, samples("KB", [weight]));
    } catch (error) {
      signal.throwIfAborted();
      const failure = error instanceof Error ? error : new Error(String(error));
      put(`${idle}: opened in, ms`, peer.name, failure);
    }
  }
  return [...rows].map(([title, cells]) => ({ title, cells }));
}

async function measure(peer: IdlePeer, count: number, signal: AbortSignal) {
  const sessions: Session[] = [];
  const abort = new AbortController();
  const before = await weigh(peer);
  try {
    const openedIn = await timed(async () => {
      while (sessions.length < count) {
        signal.throwIfAborted();
        const size = Math.min(opening, count - sessions.length);
        const batch = Array.from({ length: size }, () => openCat(peer, abort.signal));
        sessions.push(...batch);
        await Promise.all(batch.map((session) => session.echo()));
      }
    });
    const after = await weigh(peer);
    const answeredIn = await timed(() => Promise.all(sessions.map((session) => session.echo())));
    const perSession = [...after].map(([hop, weight]): [string, number] => {
      return [hop, ((weight - (before.get(hop) ?? 0)) * 1024) / count];
    });
    return { perSession, openedIn, answeredIn };
  } finally {
    for (const session of sessions) session.end();
    const all = Promise.allSettled(sessions.map(({ done }) => done));
    await Promise.race([all, delay(closing, undefined, { ref: false })]);
    abort.abort();
    await all;
  }
}

interface Session {
  /** Resolves when `cat` has given back what it was sent. Rejects when the session ends instead. */
  echo(): Promise<void>;
  end(): void;
  done: Promise<unknown>;
}

function openCat({ cluster: { client } }: IdlePeer, signal: AbortSignal): Session {
  const stdin = new PassThrough();
  let answered = Promise.withResolvers<void>();
  const stdout = { write: async () => answered.resolve() };
  const done = exec(client, { ...benchPod, command: ["cat"], stdin, stdout, signal });
  done.catch(() => {}); // echo() and the closing look at it
  return {
    done,
    end: () => stdin.end(),
    async echo() {
      answered = Promise.withResolvers();
      stdin.write("x");
      const ended = done.then(({ exitCode }) => {
        throw new Error(`the session ended with ${exitCode}`);
      });
      await Promise.race([answered.promise, ended]);
    },
  };
}

/** MB that each hop weighs, monitors and shims with their runtime. */
async function weigh({ cluster, pid, monitors }: IdlePeer): Promise<Map<string, number>> {
  return new Map([
    ["API server", await pss(await daemonPid(cluster, "apiserver"))],
    ["kubelet", await pss(await daemonPid(cluster, "kubelet"))],
    ["runtime", await pssOf([pid, ...(await monitors())])],
  ]);
}
