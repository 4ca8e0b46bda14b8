/** One flag: what it is called beside its long name, what it means, and how its text becomes a value. */
export interface Flag<T> {
  /** One letter. */
  short?: string;
  usage: string;
  initial: T;
  /** The default as help shows it: `false`, `''`, `[]`. */
  shown: string;
  /** Takes one occurrence. Throws FlagValueError. `before` is undefined at the first one. */
  take(text: string, before: T | undefined): T;
  /** What the flag means when it stands without a value: `true` for a switch. */
  bare?: string;
  /** Left out of help. */
  hidden?: boolean;
}

/** Long names to flags. */
// biome-ignore lint/suspicious/noExplicitAny: a table holds flags of all types, and Flag is invariant in its own
export type FlagTable = Record<string, Flag<any>>;

export type Values<Table extends FlagTable> = {
  [Name in keyof Table]: Table[Name] extends Flag<infer T> ? T : never;
};

/** What is wrong with a flag's value, as Go's strconv words it. */
export class FlagValueError extends Error {
  override readonly name = "FlagValueError";
}

interface Rest {
  short?: string;
  usage: string;
  hidden?: boolean;
}

const truths = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const lies = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/** `--name`, `--name=false`. */
export function toggle(rest: Rest, initial = false): Flag<boolean> {
  return {
    ...rest,
    initial,
    shown: String(initial),
    bare: "true",
    take(text) {
      if (truths.has(text)) return true;
      if (lies.has(text)) return false;
      throw new FlagValueError(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
    },
  };
}

export function text(rest: Rest, initial = "", { bare }: { bare?: string } = {}): Flag<string> {
  return { ...rest, initial, shown: `'${initial}'`, take: (value) => value, ...(bare !== undefined && { bare }) };
}

export function integer(rest: Rest, initial = 0): Flag<number> {
  return {
    ...rest,
    initial,
    shown: String(initial),
    take(value) {
      if (!/^[+-]?\d+$/.test(value)) {
        throw new FlagValueError(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
      }
      const number = Number(value);
      if (Number.isSafeInteger(number)) return number;
      throw new FlagValueError(`strconv.ParseInt: parsing ${JSON.stringify(value)}: value out of range`);
    },
  };
}

/** May be given many times; each is kept as it is. */
export function texts(rest: Rest): Flag<readonly string[]> {
  return { ...rest, initial: [], shown: "[]", take: (value, before = []) => [...before, value] };
}

/** May be given many times, and each may hold many, with commas between. */
export function slice(rest: Rest, initial: readonly string[] = []): Flag<readonly string[]> {
  return {
    ...rest,
    initial,
    shown: `[${initial.join(",")}]`,
    take: (value, before = []) => [...before, ...(value === "" ? [] : value.split(","))],
  };
}

/** Milliseconds, from Go's form: `1m30s`, `500ms`. */
export function duration(rest: Rest, initial = 0): Flag<number> {
  return { ...rest, initial, shown: formatDuration(initial), take: parseDuration };
}

const units: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds. Throws FlagValueError. Source: Go's time.ParseDuration */
export function parseDuration(value: string): number {
  if (value === "0") return 0;
  const [, sign = "", body = ""] = /^([+-]?)(.*)$/s.exec(value) ?? [];
  let total = 0;
  let rest = body;
  while (rest !== "") {
    const match = /^(\d+\.?\d*|\.\d+)([^\d.]*)/.exec(rest);
    if (!match) throw new FlagValueError(`time: invalid duration ${JSON.stringify(value)}`);
    const [all, number = "", unit = ""] = match;
    if (unit === "") throw new FlagValueError(`time: missing unit in duration ${JSON.stringify(value)}`);
    const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
    if (factor === undefined) {
      throw new FlagValueError(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(value)}`);
    }
    total += Number(number) * factor;
    rest = rest.slice(all.length);
  }
  if (body === "") throw new FlagValueError(`time: invalid duration ${JSON.stringify(value)}`);
  return sign === "-" ? -total : total;
}

/** Go's form of a duration: `1m0s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0s";
  const seconds = Math.abs(milliseconds) / 1000;
  const sign = milliseconds < 0 ? "-" : "";
  if (seconds < 1) return `${sign}${seconds * 1000}ms`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${Math.round((seconds % 60) * 1000) / 1000}s`;
  return sign + (hours ? `${hours}h` : "") + (hours || minutes ? `${minutes}m` : "") + rest;
}
