import type { Transport } from "../transport.ts";

/**
 * Joins two connections: every byte of one is written to the other, as it comes, and nothing is looked at. A side that does
 * not take its bytes stops the reading of the other. When one side ends, the other gets all that was read and then its end.
 * Resolves when both are closed.
 */
export async function splice(left: Transport, right: Transport): Promise<void> {
  pump(left, right);
  pump(right, left);
  await Promise.all([left.closed, right.closed]);
}

function pump(from: Transport, to: Transport) {
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
    end: () => to.end(),
  });
}
