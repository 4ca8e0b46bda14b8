import { killQuietly } from "./spawn.ts";

/** How long killed processes may take to go, milliseconds. */
const killPatience = 5000;
/** Between two looks at them, milliseconds. */
const lookInterval = 5;

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
    if (waited >= graceMs) for (const pid of pids) killQuietly(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, lookInterval));
  }
}
