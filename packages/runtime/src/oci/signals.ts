import { constants } from "node:os";
import { Signal } from "@hawser/cri";

/** What a container is asked to stop with when nothing is said. */
export const defaultStopSignal = constants.signals.SIGTERM;

const realtime = 34;

/**
 * The number of a signal as an image names it: `SIGQUIT`, `quit`, `3`, `SIGRTMIN+3`. Undefined for what is none.
 */
export function signalNumber(name: string): number | undefined {
  const text = name.trim().toUpperCase();
  if (/^\d+$/.test(text)) return Number(text) > 0 && Number(text) < 65 ? Number(text) : undefined;
  const short = text.replace(/^SIG/, "");
  const [, base, sign, offset] = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(short) ?? [];
  if (base) {
    const number = (base === "MIN" ? realtime : 64) + Number(`${sign ?? "+"}${offset ?? 0}`);
    return number >= realtime && number <= 64 ? number : undefined;
  }
  const table: Record<string, number> = { ...constants.signals, SIGCLD: constants.signals.SIGCHLD };
  return table[`SIG${short}`];
}

/** The stop signal a container is made with: the request's, else the image's, else SIGTERM. */
export function stopSignal(requested: Signal, imageSignal: string | undefined): number {
  return signalOf(requested) ?? signalNumber(imageSignal ?? "") ?? defaultStopSignal;
}

/** A CRI Signal's number; undefined for RUNTIME_DEFAULT. */
export function signalOf(signal: Signal): number | undefined {
  const name = criNames.get(signal);
  return name ? signalNumber(name.replace("MINPLUS", "MIN+").replace("MAXMINUS", "MAX-")) : undefined;
}

/** The CRI's Signal for a number; RUNTIME_DEFAULT when it has none. */
export function criSignal(number: number): Signal {
  for (const signal of criNames.keys()) if (signalOf(signal) === number) return signal;
  return Signal.RUNTIME_DEFAULT;
}

const criNames = new Map<Signal, string>(
  Object.entries(Signal)
    .filter(([name]) => name !== "RUNTIME_DEFAULT")
    .map(([name, value]) => [value, name]),
);
