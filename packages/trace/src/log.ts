/** Where a log's lines go. Process.stderr is one. */
export interface LineSink {
  write(line: string): unknown;
}

/**
 * A hop's log, in klog's form: `I1122 15:04:05.000000    4711 proxy.ts] message key="value"`.
 * Values are quoted, so that a hostile name cannot forge a line. Never hand it secrets, tokens or stream contents.
 */
export interface Logger {
  /** Shown when the hop's verbosity is at least `level`, as klog's V(level). */
  v(level: number): boolean;
  info(message: string, fields?: Fields): void;
  /** Info at a verbosity: the fields are only worked out when it is shown. */
  at(level: number, message: string, fields?: Fields | (() => Fields)): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same log for a part of the hop. */
  named(name: string): Logger;
}

export type Fields = Record<string, unknown>;

export interface LoggerOptions {
  sink?: LineSink;
  /** klog's -v. 0 shows what an operator should always see, 4 each request, 8 its headers. A function is asked each time. */
  verbosity?: number | (() => number);
  name?: string;
  now?: () => Date;
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const { sink = process.stderr, verbosity = 0, name = "hawser", now = () => new Date() } = options;
  const current = typeof verbosity === "function" ? verbosity : () => verbosity;
  const line = (severity: string, message: string, fields: Fields = {}) => {
    const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${quote(value)}`);
    sink.write(
      `${severity}${stamp(now())} ${String(process.pid).padStart(7)} ${name}] ${escapeControls(message)}${pairs.join("")}\n`,
    );
  };
  return {
    v: (level) => current() >= level,
    info: (message, fields) => line("I", message, fields),
    at(level, message, fields) {
      if (current() >= level) line("I", message, typeof fields === "function" ? fields() : fields);
    },
    warn: (message, fields) => line("W", message, fields),
    error: (message, fields) => line("E", message, fields),
    named: (part) => createLogger({ ...options, name: part }),
  };
}

/** A log for tests and libraries that nobody listens to. */
export const silentLogger: Logger = createLogger({ sink: { write: () => true } });

function stamp(date: Date): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const micros = `${String(date.getMilliseconds()).padStart(3, "0")}000`;
  return `${two(date.getMonth() + 1)}${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${micros}`;
}

function quote(value: unknown): string {
  if (value instanceof Error) return escapeControls(JSON.stringify(value.message));
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  return escapeControls(JSON.stringify(value) ?? "null");
}

/** JSON leaves DEL and the C1 controls as they are, and terminals obey those too. */
function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (control) => {
    const short = JSON.stringify(control).slice(1, -1);
    return short === control ? `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}` : short;
  });
}
