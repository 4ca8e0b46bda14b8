// Times of RFC 3339 as Go reads them, with its words for what is none.
import { CommandError } from "../errors.ts";

const layout = "2006-01-02T15:04:05Z07:00";
const days = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** What comes next in a time: the text before it, how Go calls it, what it looks like, and the numbers it may be. */
const parts = [
  { before: "", element: "2006", pattern: /^\d{4}/, name: "year", range: [0, 9999] },
  { before: "-", element: "01", pattern: /^\d\d/, name: "month", range: [1, 12] },
  { before: "-", element: "02", pattern: /^\d\d/, name: "", range: [0, 99] },
  { before: "T", element: "15", pattern: /^\d\d?/, name: "hour", range: [0, 23] },
  { before: ":", element: "04", pattern: /^\d\d/, name: "minute", range: [0, 59] },
  { before: ":", element: "05", pattern: /^\d\d/, name: "second", range: [0, 59] },
] as const;

/**
 * The time, in the form that every server takes. Throws CommandError in the words of Go's time.Parse.
 *
 * Source: Go's time/format.go
 */
export function parseRFC3339(text: string): string {
  let rest = text;
  const wrong = (why: string) => new CommandError(`parsing time ${JSON.stringify(text)}${why}`);
  const unfit = (element: string) =>
    wrong(` as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(element)}`);
  const take = (pattern: RegExp): string | undefined => {
    const [found] = pattern.exec(rest) ?? [];
    if (found !== undefined) rest = rest.slice(found.length);
    return found;
  };
  const values: string[] = [];
  for (const { before, element, pattern, name, range } of parts) {
    if (!rest.startsWith(before)) throw unfit(before);
    rest = rest.slice(before.length);
    const found = take(pattern);
    if (found === undefined) throw unfit(element);
    if (Number(found) < range[0] || Number(found) > range[1]) throw wrong(`: ${name} out of range`);
    values.push(found.padStart(2, "0"));
  }
  const fraction = take(/^[.,]\d+/)?.replace(",", ".") ?? "";
  const zone = take(/^(Z|[+-]\d\d:\d\d)/);
  if (zone === undefined) throw unfit("Z07:00");
  if (Number(zone.slice(1, 3)) > 24) throw wrong(": time zone offset hour out of range");
  if (Number(zone.slice(4, 6)) > 60) throw wrong(": time zone offset minute out of range");
  if (rest !== "") throw wrong(`: extra text: ${JSON.stringify(rest)}`);
  const [year = "", month = "", day = "", hour, minute, second] = values;
  const leap = Number(year) % 4 === 0 && (Number(year) % 100 !== 0 || Number(year) % 400 === 0);
  const last = month === "02" && !leap ? 28 : (days[Number(month) - 1] ?? 0);
  if (Number(day) < 1 || Number(day) > last) throw wrong(": day out of range");
  return `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}${zone}`;
}
