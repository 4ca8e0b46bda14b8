import type { FlagTable } from "./flag.ts";

export interface Help {
  /** The program and its verb: `hawser exec`. */
  path: string;
  /** What follows the program in the usage line: `exec (POD | TYPE/NAME) … -- COMMAND [args...]`. */
  use: string;
  long: string;
  examples: string;
  flags: FlagTable;
  /** Further text, between the options and the usage line. */
  notes?: string | undefined;
}

/** The help of one command, made from the table its flags are parsed by, in kubectl's layout. */
export function commandHelp({ path, use, long, examples, flags, notes }: Help): string {
  const program = path.split(" ")[0] ?? path;
  const options = optionsText(flags);
  return `${[
    long.trim(),
    examples && `Examples:\n${indent(examples.trim(), "  ")}`,
    options && `Options:\n${options}`,
    notes?.trim(),
    `Usage:\n  ${program} ${use} [options]`,
    `Use "${program} options" for a list of global command-line options (applies to all commands).`,
  ]
    .filter(Boolean)
    .join("\n\n")}\n`;
}

/** One paragraph per flag, sorted by name. */
export function optionsText(flags: FlagTable): string {
  return Object.entries(flags)
    .filter(([, flag]) => !flag.hidden)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { short, shown, usage }]) => {
      // A flag whose name is one letter has no long form: -v.
      const spelled = name === short ? `-${short}, --${name}` : short ? `-${short}, --${name}` : `--${name}`;
      return `    ${spelled}=${shown}:\n\t${usage}`;
    })
    .join("\n\n");
}

function indent(text: string, by: string): string {
  return text
    .split("\n")
    .map((line) => by + line)
    .join("\n");
}
