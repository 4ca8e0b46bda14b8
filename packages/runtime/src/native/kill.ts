import { constants } from "node:os";
import { holdProcess } from "./process-id.ts";

/** How long killed processes may take to go, milliseconds. */
const killPatience = 5000;
/** Between two looks at them, milliseconds. */
const lookInterval = 5;
/** Processes held at a time; each takes a descriptor. */
const maxHeld = 1024;

/**
 * SIGKILL to whomever `find` finds, newcomers too, until it finds nobody. Those who end by themselves have `graceMs` for it.
 * Throws when some do not go within 5 s.
 */
export async function killUntilGone(find: () => Promise<number[]>, graceMs = 0): Promise<void> {
  const started = performance.now();
  for (;;) {
    const pids = new Set(await find());
    if (pids.size === 0) return;
    const waited = performance.now() - started;
    if (waited > graceMs + killPatience) throw new Error(`processes ${[...pids].join(", ")} do not end`);
    if (waited >= graceMs) await signalFound(find, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, lookInterval));
  }
}

/**
 * Signals whomever `find` finds, and nobody who has got a number of theirs since: each is held first, and has to be found once
 * more.
 * Returns how many were found at first.
 */
export async function signalFound(find: () => Promise<number[]>, signal: NodeJS.Signals): Promise<number> {
  const pids = await find();
  for (let at = 0; at < pids.length; at += maxHeld) {
    await signalHeld(pids.slice(at, at + maxHeld), find, constants.signals[signal]);
  }
  return pids.length;
}

async function signalHeld(pids: number[], find: () => Promise<number[]>, signal: number): Promise<void> {
  using held = new DisposableStack();
  const processes = pids.flatMap((pid) => {
    const process = holdProcess(pid);
    return process ? [held.use({ pid, ...process })] : [];
  });
  const there = new Set(await find());
  for (const { pid, send } of processes) if (there.has(pid)) send(signal);
}
