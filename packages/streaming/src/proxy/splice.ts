import { brokenOffStatus, lossOf } from "../remotecommand/broken-off.ts";
import type { Transport } from "../transport.ts";
import type { Flow, FlowTarget, Follower } from "./flow/flow.ts";
import { NextHopWatch } from "./next-hop-watch.ts";

/** What a client is told its backend is, where nothing else is said. */
export const nextHopName = "the next hop";
/** Milliseconds a backend may take for what its client sent before it went. */
const goneMs = 1000;

export interface SpliceOptions {
  follower: Follower;
  /** What the client is told the backend is: "the container runtime". */
  backendName?: string | undefined;
  /** Milliseconds without a byte either way until both are dropped; 0, or absent: never. Pings of hops, and their answers, do not count. */
  idleTimeoutMs?: number | undefined;
  /** Milliseconds that the backend may be silent though it is pinged; 0, or absent: for ever. */
  lostMs?: number | undefined;
  onIdle?: (() => void) | undefined;
  /** A side has ended, with an error where it broke off. */
  onEnd?: ((side: "client" | "backend", error?: Error) => void) | undefined;
}

/**
 * Joins a client with its backend: every byte of one is written to the other, as it comes, and nothing is changed but where SPDY's data frames are
 * cut. A side that does not take its bytes stops the reading of the other. A backend that is silent is pinged, which the client does not notice.
 *
 * When the backend ends, the client gets all that was read, a Status where the follower has one to say, and then the end, however
 * slowly it reads. When the client ends, the backend gets the same, for 1 s; when it broke off, the backend's connection is dropped at once, since what waits there
 * may wait for a process that reads nothing. Resolves when both are closed.
 */
export async function splice(client: Transport, backend: Transport, options: SpliceOptions): Promise<void> {
  const { follower, backendName = nextHopName, idleTimeoutMs = 0, lostMs = 0, onIdle, onEnd = () => {} } = options;
  let over = false;
  const there = pump({ from: client, to: backend, flow: follower.fromClient });
  const back = pump({ from: backend, to: client, flow: follower.fromNextHop });
  /** The client's end, and before it what became of the command where nobody has said so. */
  const endClient = (why: string, withinMs?: number) => {
    if (!over) {
      const parts = follower.ending(brokenOffStatus(why));
      if (parts.length > 0) back.flow.insert(parts);
    }
    over = true;
    client.end(withinMs);
  };
  using watch = new NextHopWatch({
    lostMs,
    idleMs: idleTimeoutMs,
    onIdle() {
      onIdle?.();
      endClient(`nothing was sent or received for ${idleTimeoutMs / 1000} s`, goneMs);
      backend.destroy();
    },
    ping: () => there.flow.insert([follower.ping()]),
    isRead: () => !back.isWaiting(),
    sent: follower.sent,
    onLost(words) {
      const why = words(backendName);
      onEnd("backend", new Error(why));
      endClient(why);
      backend.destroy();
    },
  });
  there.start({
    passed: (busy) => busy && watch.used(),
    end(error) {
      over = true;
      onEnd("client", error);
      if (error) backend.destroy();
      else backend.end(goneMs);
    },
  });
  back.start({
    passed(busy) {
      watch.heard();
      if (busy) watch.used();
    },
    end(error) {
      onEnd("backend", error);
      endClient(lossOf(error, backendName));
    },
  });
  await Promise.all([client.closed, backend.closed]);
}

interface Pump {
  flow: Flow;
  /** Nothing is read, since the other side has no room. */
  isWaiting(): boolean;
  start(handler: { passed(busy: boolean): void; end(error?: Error): void }): void;
}

function pump({ from, to, flow }: { from: Transport; to: Transport; flow(target: FlowTarget): Flow }): Pump {
  let waiting = false;
  const written = () => {
    const wait = waiting ? undefined : to.room();
    if (!wait) return;
    waiting = true;
    from.pause();
    const resume = () => {
      waiting = false;
      from.resume();
    };
    wait.then(resume, resume); // a side that is gone takes nothing: what comes is dropped until this side ends too
  };
  const out = flow({ to, written });
  return {
    flow: out,
    isWaiting: () => waiting,
    start: ({ passed, end }) =>
      from.start({
        data(chunk) {
          passed(out.push(chunk));
          return true;
        },
        end(error) {
          out.flush();
          end(error);
        },
      }),
  };
}
