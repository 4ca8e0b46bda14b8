import type { ClusterConfig, KubeClient } from "@hawser/client";
import type { FlagTable, Values } from "./flags/flag.ts";
import type { globalFlags } from "./flags/global.ts";
import type { Parsed } from "./flags/parse.ts";
import type { IO } from "./io.ts";

/** What a command is run with, besides its own flags and arguments. */
export interface Context {
  /** The program: `hawser`. */
  program: string;
  io: IO;
  globals: Values<typeof globalFlags>;
  /** Aborted by SIGINT, SIGTERM and SIGHUP, with an Interrupted. */
  signal: AbortSignal;
  /** Connections made with it are closed when the command is over. */
  client(): Promise<KubeClient>;
  config(): Promise<ClusterConfig>;
  /** The namespace to work in, and whether it was named on the command line. */
  namespace(): Promise<{ namespace: string; explicit: boolean }>;
  /** To stdout; waits when nobody reads. */
  out(text: string): Promise<void>;
  /** One line to stderr, made safe to show. */
  warn(line: string): void;
}

/** One verb: what its help is made from, and what it does. */
export interface Command<Table extends FlagTable = FlagTable> {
  name: string;
  /** The usage line, without the program. */
  use: string;
  short: string;
  long: string;
  examples: string;
  flags: Table;
  /** Shown in its help below the flags. */
  notes?: string;
  /** Resolves with the exit code; throws what `ending` knows how to tell. */
  run(context: Context, line: Parsed<Table>): Promise<number>;
}

/** Keeps a command's flag types while it is defined. */
export function command<Table extends FlagTable>(definition: Command<Table>): Command<Table> {
  return definition;
}
