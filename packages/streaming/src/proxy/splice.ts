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
export async function splice(client: Transport, backend: Transport): Promise<void> {
  pump(client, backend, (error) => (error ? backend.destroy() : backend.end(goneMs)));
  pump(backend, client, () => client.end());
  await Promise.all([client.closed, backend.closed]);
}

function pump(from: Transport, to: Transport, end: (error?: Error) => void) {
  let waiting = false;
  from.start({
    data(chunk) {
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
