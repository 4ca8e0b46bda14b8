import type { OutputStream } from "./io.ts";
import { visible } from "./printers/visible.ts";

/** Milliseconds between two pictures. */
const interval = 100;
/** Milliseconds over which the rate is taken. */
const rateSpan = 3_000;
/** Columns that a name should have at least, or the bar goes. */
const nameWidth = 12;
/** Columns of the bar itself. */
const barWidth = 12;

export interface Progress {
  bytes: number;
  /** Absent where it is not known. */
  total?: number | undefined;
  name: string;
}

export interface ProgressBar extends Disposable {
  show(progress: Progress): void;
  /** Takes the line away, for a line of text that is to go there. */
  clear(): void;
}

/** One line on a terminal that tells how far a copy has come, and goes when it is disposed. Nothing where there is no terminal. */
export function progressBar(stream: OutputStream, { now = () => performance.now() } = {}): ProgressBar {
  if (!stream.isTTY) return { show() {}, clear() {}, [Symbol.dispose]() {} };
  const begin = now();
  let samples: { at: number; bytes: number }[] = [{ at: begin, bytes: 0 }];
  let shownAt = begin;
  let onScreen = false;
  const clear = () => {
    if (onScreen) stream.write("\r\x1b[K");
    onScreen = false;
  };
  return {
    show(progress) {
      const at = now();
      if (at - shownAt < interval || stream.writableNeedDrain) return;
      shownAt = at;
      samples = [...samples.filter((sample) => at - sample.at <= rateSpan), { at, bytes: progress.bytes }];
      const first = samples[0] ?? { at, bytes: progress.bytes };
      const gained = Math.max(0, progress.bytes - first.bytes); // what was lost with a connection is sent again
      const rate = at > first.at ? (gained / (at - first.at)) * 1000 : 0;
      stream.write(`\r${progressLine(progress, { rate, columns: stream.columns || 80 })}\x1b[K`);
      onScreen = true;
    },
    clear,
    [Symbol.dispose]: clear,
  };
}

/** `rate` in bytes per second. Never wider than the terminal. */
export function progressLine(
  { bytes, total, name }: Progress,
  { rate, columns }: { rate: number; columns: number },
): string {
  const pace = `${size(rate)}/s`;
  const parts =
    total === undefined || total === 0
      ? [size(bytes), pace]
      : [
          bar(bytes / total),
          `${String(Math.min(100, Math.floor((100 * bytes) / total))).padStart(3)}%`,
          `${size(bytes)} of ${size(total)}`,
          pace,
          ...(rate > 0 && bytes < total ? [`${clock((total - bytes) / rate)} left`] : []),
        ];
  const roomBeside = (text: string) => columns - 1 - text.length - 2;
  let text = parts.join("  ");
  if (total && roomBeside(text) < nameWidth) text = parts.slice(1).join("  ");
  const room = roomBeside(text);
  const label = visible(name).replaceAll(/[\n\t]/g, "?");
  if (room < 8) return text.slice(0, columns - 1);
  return `${label.length > room ? `…${label.slice(1 - room)}` : label}  ${text}`;
}

function bar(part: number): string {
  const full = Math.round(Math.min(1, part) * barWidth);
  return `[${"#".repeat(full)}${" ".repeat(barWidth - full)}]`;
}

function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function clock(seconds: number): string {
  const whole = Math.min(359_999, Math.ceil(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
