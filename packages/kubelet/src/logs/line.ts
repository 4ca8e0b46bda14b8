/** One line of a container's log file, as the CRI has it. */
export interface LogLine {
  /** RFC 3339 with nanoseconds, as it stands there. */
  time: string;
  stream: "stdout" | "stderr";
  /** With its newline; without one when the line goes on in the next entry. */
  content: Buffer;
}

const space = 0x20;
const newline = 0x0a;

/**
 * Reads `<time> <stream> <tags> <content>`, with or without the newline at its end. Undefined for anything else.
 *
 * Source: kubernetes/cri-client pkg/logs/logs.go parseCRILog
 */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(space);
  const second = line.indexOf(space, first + 1);
  const third = line.indexOf(space, second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  const stream = line.toString("latin1", first + 1, second);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const partial = line.toString("latin1", second + 1, third).split(":")[0] === "P";
  const ends = line.at(-1) === newline;
  const body = line.subarray(third + 1, ends ? -1 : undefined);
  const content = partial ? body : Buffer.concat([body, Buffer.of(newline)]);
  return { time: line.toString("latin1", 0, first), stream, content };
}

/** A line's time as it is shown: nine digits of a second, and `Z` for UTC. Source: kubernetes/cri-client pkg/logs/logs.go */
export function shownTime(time: string): string {
  const [, until = "", digits = "", zone = ""] = /^([^.+Z]*T[\d:]+)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time) ?? [];
  if (!until) return time;
  return `${until}.${digits.slice(0, 9).padEnd(9, "0")}${zone === "+00:00" || zone === "-00:00" ? "Z" : zone}`;
}
