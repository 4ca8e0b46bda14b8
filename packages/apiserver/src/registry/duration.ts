/** Seconds, and how a Table shows them: `5s`, `2m10s`, `3h`, `12d`, `2y30d`. Source: kubernetes/apimachinery pkg/util/duration/duration.go */
export function humanDuration(seconds: number): string {
  const total = Math.floor(seconds);
  if (total < -1) return "<invalid>";
  if (total < 0) return "0s";
  if (total < 120) return `${total}s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 10) return pair(minutes, "m", total % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(total / 3600);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return pair(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.floor(hours / 24 / 365);
  return hours < 24 * 365 * 8 ? pair(years, "y", days % 365, "d") : `${years}y`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** The age of something that began at `time`; `<unknown>` when it did not. */
export function ageOf(time: unknown, now: Date): string {
  if (time === undefined || time === null) return "<unknown>";
  return humanDuration((now.getTime() - Date.parse(String(time))) / 1000);
}
