// Loaded before everything else in the virtual machine, which is HAWSER_SLOWNESS times slower than a real one: what a program
// waits at most is as many times longer, in the tests and in what they test. Times that are written down stay true.
import { registerHooks, syncBuiltinESMExports } from "node:module";
import timers from "node:timers";
import promises from "node:timers/promises";

const slowness = Number(process.env.HAWSER_SLOWNESS ?? 1);

/** The longest there is: what is longer would be no delay at all. */
const longest = 2 ** 31 - 1;
export const slowed = (delay: number) => Math.min(delay * slowness, longest);

const { setTimeout, setInterval } = globalThis;
const slowTimeout = (body: (...args: unknown[]) => void, delay = 0, ...args: unknown[]) =>
  setTimeout(body, slowed(delay), ...args);
const slowInterval = (body: (...args: unknown[]) => void, delay = 0, ...args: unknown[]) =>
  setInterval(body, slowed(delay), ...args);
for (const [name, value] of Object.entries({ setTimeout: slowTimeout, setInterval: slowInterval })) {
  const slow = Object.assign(value, globalThis[name as "setTimeout"]);
  Object.assign(globalThis, { [name]: slow });
  Object.assign(timers, { [name]: slow });
}
const { setTimeout: promised } = promises;
promises.setTimeout = (delay = 0, ...rest) => promised(slowed(delay), ...rest);

const { timeout } = AbortSignal;
AbortSignal.timeout = (delay) => timeout.call(AbortSignal, slowed(delay));

const { now } = performance;
performance.now = () => now.call(performance) / slowness;
// Of the two together a program makes the time of day.
const { timeOrigin } = performance;
Object.defineProperty(performance, "timeOrigin", {
  get: () => timeOrigin + now.call(performance) - now.call(performance) / slowness,
});

registerHooks({
  resolve(specifier, context, next) {
    const own = context.parentURL?.startsWith(new URL(".", import.meta.url).href);
    return next(
      specifier === "node:test" && !own ? new URL("patient-test.ts", import.meta.url).href : specifier,
      context,
    );
  },
});
syncBuiltinESMExports();
