// What slow-clock.ts gives tests in place of node:test, whose runner counts timeouts by a clock that is out of reach.
import real, { type TestOptions } from "node:test";
import { slowed } from "./slow-clock.ts";

function patient<Define extends (...args: never[]) => unknown>(define: Define): Define {
  const slow = (...args: unknown[]) =>
    (define as unknown as (...args: unknown[]) => unknown)(
      ...args.map((arg) => {
        const options = arg as TestOptions | undefined;
        return typeof options === "object" && options.timeout ? { ...options, timeout: slowed(options.timeout) } : arg;
      }),
    );
  return Object.assign(slow, define) as unknown as Define;
}

export const { after, afterEach, before, beforeEach, mock } = real;
export const describe = patient(real.describe);
export const suite = patient(real.suite);
export const it = patient(real.it);
export const test = patient(real.test);
export default test;
