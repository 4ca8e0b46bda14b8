export { ending } from "./errors.ts";
export type { IO } from "./io.ts";
export { type RunOptions, run, verbNames } from "./run.ts";
