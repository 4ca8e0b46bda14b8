import { Heartbeat } from "../heartbeat.ts";
import { brokenOffStatus } from "../remotecommand/broken-off.ts";
import type { Transport } from "../transport.ts";
import { gather } from "./gather.ts";
import type { LastWords } from "./last-words.ts";

/** Milliseconds a backend may take for what its client sent before it went. */
const goneMs = 1000;

/**
 * Joins a client with its backend: every byte of one is written to the other, as it comes, and nothing is changed. A side
 * that does not take its bytes stops the reading of the other.
 *
 * When the backend ends, the client gets all that was read, a Status where `lastWords` has one to say, and then the end, however
 * slowly it reads. When the client ends, the backend gets the same, for 1 s; when it broke off, the backend's connection is dropped at once, since what waits there
 * may wait for a process that reads nothing. Resolves when both are closed.
 */
export async function splice(client: Transport, backend: Transport, options: SpliceOptions = {}): Promise<void> {
  const { idleTimeoutMs = 0, onIdle, onEnd = () => {}, lastWords } = options;
  let over = false;
  /** The client's end, and before it what became of the command where nobody has said so. */
  const endClient = (why: string, withinMs?: number) => {
    if (!over && lastWords) {
      const parts = lastWords.ending(brokenOffStatus(why));
      if (parts.length > 0) client.write(parts);
    }
    over = true;
    client.end(withinMs);
  };
  using idle = new Heartbeat({
    pingMs: 0,
    idleMs: idleTimeoutMs,
    ping: () => {},
    idle() {
      onIdle?.();
      endClient(`nothing was sent or received for ${idleTimeoutMs / 1000} s`, goneMs);
      backend.destroy();
    },
  });
  const used = () => idle.used();
  pump({ from: client, to: backend, pass: (chunk) => lastWords?.fromClient(chunk) }, used, (error) => {
    over = true;
    onEnd("client", error);
    if (error) backend.destroy();
    else backend.end(goneMs);
  });
  pump({ from: backend, to: client, pass: (chunk) => lastWords?.fromNextHop(chunk) }, used, (error) => {
    onEnd("backend", error);
    endClient(error?.message ?? "the next hop closed the connection");
  });
  await Promise.all([client.closed, backend.closed]);
}

export interface SpliceOptions {
  /** Milliseconds without a byte either way until both are dropped; 0, or absent: never. */
  idleTimeoutMs?: number | undefined;
  onIdle?: (() => void) | undefined;
  /** Of a remote command over SPDY. */
  lastWords?: LastWords | undefined;
  /** A side has ended, with an error where it broke off. */
  onEnd?: ((side: "client" | "backend", error?: Error) => void) | undefined;
}

interface Direction {
  from: Transport;
  to: Transport;
  /** Sees what is passed. */
  pass(chunk: Buffer): void;
}

function pump({ from, to, pass }: Direction, used: () => void, end: (error?: Error) => void) {
  let waiting = false;
  const out = gather(to, () => {
    const wait = waiting ? undefined : to.room();
    if (!wait) return;
    waiting = true;
    from.pause();
    const resume = () => {
      waiting = false;
      from.resume();
    };
    wait.then(resume, resume); // a side that is gone takes nothing: what comes is dropped until this side ends too
  });
  from.start({
    data(chunk) {
      used();
      out.push(chunk);
      pass(chunk);
      return true;
    },
    end(error) {
      out.flush();
      end(error);
    },
  });
}
