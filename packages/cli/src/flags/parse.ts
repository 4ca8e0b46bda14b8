import { type FlagTable, FlagValueError, type Values } from "./flag.ts";

/** A command line that cannot be understood. The text is pflag's. */
export class FlagError extends Error {
  override readonly name = "FlagError";
}

export interface Parsed<Table extends FlagTable> {
  flags: Values<Table>;
  /** Names of the flags that were given. */
  changed: ReadonlySet<string>;
  /** What is not a flag, with what comes behind `--`. */
  args: string[];
  /** How many of `args` stand before `--`; undefined where there is no `--`. */
  argsBeforeDash: number | undefined;
  /** `--help` or `-h` was given. */
  help: boolean;
}

/**
 * Reads a command line as spf13/pflag does: flags and arguments in any order, `--name=value` and `--name value`,
 * switches in one word (`-it`), the last of which may take a value (`-itc web`, `-c=web`, `-cweb`), `--` ends them.
 * `--some_flag` is `--some-flag`. Throws FlagError.
 *
 * Source: spf13/pflag flag.go
 */
export function parseFlags<Table extends FlagTable>(table: Table, argv: readonly string[]): Parsed<Table> {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(table)) values[name] = flag.initial;
  const shorts = new Map(Object.entries(table).flatMap(([name, flag]) => (flag.short ? [[flag.short, name]] : [])));
  const changed = new Set<string>();
  const args: string[] = [];
  let argsBeforeDash: number | undefined;
  let help = false;

  const set = (name: string, value: string, as: string) => {
    const flag = table[name];
    if (!flag) throw new FlagError(`unknown flag: --${name}`);
    try {
      values[name] = flag.take(value, changed.has(name) ? values[name] : undefined);
    } catch (error) {
      if (!(error instanceof FlagValueError)) throw error;
      throw new FlagError(
        `invalid argument ${JSON.stringify(value)} for ${JSON.stringify(as)} flag: ${error.message}`,
        {
          cause: error,
        },
      );
    }
    changed.add(name);
  };
  const shownAs = (name: string) => (table[name]?.short ? `-${table[name].short}, --${name}` : `--${name}`);

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") {
      argsBeforeDash = args.length;
      args.push(...argv.slice(i + 1));
      break;
    }
    if (word.startsWith("--")) {
      const [, spelled = "", value] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
      if (spelled === "" || spelled.startsWith("-")) throw new FlagError(`bad flag syntax: ${word}`);
      const name = spelled.replaceAll("_", "-");
      const flag = Object.hasOwn(table, name) ? table[name] : undefined;
      if (!flag && name === "help") help = true;
      else if (!flag) throw new FlagError(`unknown flag: --${spelled}`);
      else if (value !== undefined) set(name, value, shownAs(name));
      else if (flag.bare !== undefined) set(name, flag.bare, shownAs(name));
      else if (i + 1 < argv.length) set(name, argv[++i] ?? "", shownAs(name));
      else throw new FlagError(`flag needs an argument: --${spelled}`);
    } else if (word.length > 1 && word.startsWith("-")) {
      for (let at = 1; at < word.length; at++) {
        const letter = word[at] ?? "";
        const name = shorts.get(letter);
        const flag = name === undefined ? undefined : table[name];
        if (name === undefined || !flag) {
          if (letter === "h") {
            help = true;
            continue;
          }
          throw new FlagError(`unknown shorthand flag: '${letter}' in ${word}`);
        }
        const rest = word.slice(at + 1);
        if (rest.startsWith("=")) set(name, rest.slice(1), shownAs(name));
        else if (flag.bare !== undefined) {
          set(name, flag.bare, shownAs(name));
          continue;
        } else if (rest !== "") set(name, rest, shownAs(name));
        else if (i + 1 < argv.length) set(name, argv[++i] ?? "", shownAs(name));
        else throw new FlagError(`flag needs an argument: '${letter}' in ${word}`);
        break;
      }
    } else args.push(word);
  }
  return { flags: values as Values<Table>, changed, args, argsBeforeDash, help };
}
