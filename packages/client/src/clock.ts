/** Milliseconds on a clock that never goes back, which is there at once: `performance` has to be loaded. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
