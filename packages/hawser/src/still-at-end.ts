/** Seconds: a process that has lived no longer has too small a heap for what stillAtEnd() is about. */
const shortLife = 0.25;
/** How often V8 gets to its collection at the end, and milliseconds before each time. */
const [times, pauseMs] = [10, 1];

/**
 * Lets this process end whatever V8 is at. Its other threads compile what runs often, and may need a collection for it, which is the main
 * thread's to make; process.exit() makes none and waits for those threads, so that neither goes on: one in ten uploads to
 * a full disk never ended. A process that has worked for a while stands still for 10 ms at its exit therefore, in which V8 can collect and
 * nothing else is run.
 *
 * Source: nodejs/node#54918
 */
export function stillAtEnd({ uptime = () => process.uptime() } = {}): void {
  process.once("exit", () => {
    if (uptime() <= shortLife) return;
    const cell = new Int32Array(new SharedArrayBuffer(4));
    // Between two waits V8 does what it was asked to.
    for (let time = 0; time < times; time++) Atomics.wait(cell, 0, 0, pauseMs);
  });
}
