import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { MisuseError } from "./io.ts";

/** Of every verb. */
export const commonFlags = {
  help: { type: "boolean", short: "h", default: false },
  "runtime-endpoint": { type: "string", short: "r" },
  "data-dir": { type: "string" },
} as const satisfies ParseArgsOptionsConfig;

export const listFlags = {
  label: { type: "string", multiple: true, default: [] as string[] },
  output: { type: "string", short: "o" },
  "no-trunc": { type: "boolean", default: false },
} as const satisfies ParseArgsOptionsConfig;

/** What node:util's parseArgs makes of a table whose switches all have a default. */
type Values<Flags extends ParseArgsOptionsConfig> = {
  [Name in keyof Flags]: Flags[Name] extends { multiple: true }
    ? string[]
    : Flags[Name] extends { type: "boolean" }
      ? boolean
      : Flags[Name] extends { default: string }
        ? string
        : string | undefined;
};

interface Parsed<Flags extends ParseArgsOptionsConfig> {
  values: Values<Flags & typeof commonFlags>;
  positionals: string[];
}

/** Throws MisuseError for flags there are not, and for another number of names. */
export function parseFlags<const Flags extends ParseArgsOptionsConfig>(
  argv: string[],
  flags: Flags,
  [least, most]: [least: number, most: number],
): Parsed<Flags> {
  let parsed: Parsed<Flags>;
  try {
    const options = { ...commonFlags, ...flags };
    parsed = parseArgs({ args: argv, options, allowPositionals: true }) as unknown as Parsed<Flags>; // of that table
  } catch (cause) {
    throw new MisuseError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  const { length } = parsed.positionals;
  if (parsed.values.help) return parsed;
  if (length < least) throw new MisuseError(most === 1 ? "a name is missing" : "at least one name is missing");
  if (length > most)
    throw new MisuseError(most === 0 ? "no names are taken here" : `takes ${most} name at most, not ${length}`);
  return parsed;
}

export type Output = "table" | "json" | "yaml";

export function outputFormat<Format extends Output>(
  text: string | undefined,
  allowed: readonly Format[],
  usual: NoInfer<Format>,
): Format {
  if (text === undefined) return usual;
  const found = allowed.find((format) => format === text);
  if (!found) throw new MisuseError(`--output "${text}": one of ${allowed.join(", ")}`);
  return found;
}

/** `KEY=VALUE`, each. */
export function labelSelector(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new MisuseError(`--label "${text}": KEY=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

export function oneOf<State extends string>(flag: string, text: string, states: readonly State[]): State {
  const found = states.find((state) => state === text.toLowerCase());
  if (!found) throw new MisuseError(`${flag} "${text}": one of ${states.join(", ")}`);
  return found;
}

/** A whole number from `least` on. */
export function count(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || !Number.isSafeInteger(value))
    throw new MisuseError(`${flag} "${text}": a whole number from ${least} on`);
  return value;
}

export function pattern(flag: string, text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new MisuseError(`${flag} "${text}": no regular expression`, { cause });
  }
}
