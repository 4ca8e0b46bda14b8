import { heapAtWork } from "./heap.ts";

/** How long the bits of work that ask for it may hold one turn of the event loop together, milliseconds. */
const budget = 1;

/** When this turn's first bit of work began; undefined while there is none. */
let began: number | undefined;
let going = false;
const waiting: (() => void)[] = [];

/**
 * To be awaited before a bit of work that nothing can interrupt: a process started, a mount made, an exec begun. Fifty calls that
 * come at once would hold the event loop fifty times as long as one. Resolves at once as long as this turn of the loop
 * is young, and else in one of the next turns, first come, first served.
 */
export function turn(): Promise<void> {
  if (began === undefined) {
    heapAtWork();
    began = performance.now();
    setImmediate(nextTurn);
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  waiting.push(resolve);
  if (!going) goOn();
  return promise;
}

function nextTurn(): void {
  began = undefined;
  if (waiting.length === 0) return;
  began = performance.now();
  setImmediate(nextTurn);
  if (!going) goOn();
}

/** Lets the first who waits go as far as it gets, and then the next, until the turn has had enough. */
function goOn(): void {
  const young = began !== undefined && performance.now() - began < budget;
  const resolve = young ? waiting.shift() : undefined;
  going = resolve !== undefined;
  if (!resolve) return;
  resolve();
  queueMicrotask(goOn); // behind what this has woken
}
