import { Heartbeat } from "../heartbeat.ts";
import type { Transport } from "../transport.ts";

/** Milliseconds a backend may take for what its client sent before it went. */
const goneMs = 1000;

/**
 * Joins a client with its backend: every byte of one is written to the other, as it comes, and nothing is looked at. A side
 * that does not take its bytes stops the reading of the other.
 *
 * When the backend ends, the client gets all that was read and then the end, however slowly it reads. When the client ends,
 * the backend gets the same, for 1 s; when it broke off, the backend's connection is dropped at once, since what waits there
 * may wait for a process that reads nothing. Resolves when both are closed.
 */
export async function splice(client: Transport, backend: Transport, options: SpliceOptions = {}): Promise<void> {
  const { idleTimeoutMs = 0, onIdle, onEnd = () => {} } = options;
  using idle = new Heartbeat({
    pingMs: 0,
    idleMs: idleTimeoutMs,
    ping: () => {},
    idle() {
      onIdle?.();
      client.destroy();
      backend.destroy();
    },
  });
  const used = () => idle.used();
  pump(client, backend, used, (error) => {
    onEnd("client", error);
    if (error) backend.destroy();
    else backend.end(goneMs);
  });
  pump(backend, client, used, (error) => {
    onEnd("backend", error);
    client.end();
  });
  await Promise.all([client.closed, backend.closed]);
}

export interface SpliceOptions {
  /** Milliseconds without a byte either way until both are dropped; 0, or absent: never. */
  idleTimeoutMs?: number | undefined;
  onIdle?: (() => void) | undefined;
  /** A side has ended, with an error where it broke off. */
  onEnd?: ((side: "client" | "backend", error?: Error) => void) | undefined;
}

function pump(from: Transport, to: Transport, used: () => void, end: (error?: Error) => void) {
  let waiting = false;
  from.start({
    data(chunk) {
      used();
      to.write([chunk]);
      const wait = waiting ? undefined : to.room();
      if (!wait) return;
      waiting = true;
      from.pause();
      const resume = () => {
        waiting = false;
        from.resume();
      };
      wait.then(resume, resume); // a side that is gone takes nothing: what comes is dropped until this side ends too
    },
    end,
  });
}
