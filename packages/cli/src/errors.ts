import { type StatusCause, StatusError } from "@hawser/api";
import { FlagError } from "./flags/parse.ts";
import { JSONPathError } from "./jsonpath/parse.ts";
import { visible } from "./printers/visible.ts";

/**
 * The exit code of a session that broke off or ended without saying how: neither the command's success nor its failure
 * is known. The one ssh uses.
 */
export const brokenSessionCode = 255;

/** An error to show to people. `error: ` goes before it, unless it says so itself. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
  readonly exitCode: number;

  constructor(message: string, { exitCode = 1, cause }: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}

/** A command line that makes no sense to the command. Its help is pointed at. */
export class UsageError extends CommandError {
  override readonly name = "UsageError";
}

/** Shown as it is, with no `error: ` before it; nothing at all where it is empty. */
export class ExitError extends CommandError {
  override readonly name = "ExitError";
}

/** A signal ended the command. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly signal: NodeJS.Signals;
  /** 128 and the signal's number, as shells have it. */
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals, number: number) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
    this.exitCode = 128 + number;
  }
}

export interface Ending {
  /** For stderr, without its newline. */
  text: string;
  exitCode: number;
}

/**
 * What people are told of an error, and the exit code. `path` is the program and its verb.
 *
 * Source: kubernetes/kubectl pkg/cmd/util/helpers.go checkErr
 */
export function ending(error: unknown, path: string): Ending {
  const { text, exitCode } = plainEnding(error, path);
  return { text: visible(text), exitCode };
}

function plainEnding(error: unknown, path: string): Ending {
  if (error instanceof Interrupted) return { text: "", exitCode: error.exitCode };
  if (isBrokenPipe(error)) return { text: "", exitCode: 141 }; // as if SIGPIPE had ended us
  if (error instanceof ExitError) return { text: error.message, exitCode: error.exitCode };
  if (error instanceof FlagError) return failed(`error: ${error.message}\nSee '${path} --help' for usage.`);
  if (error instanceof UsageError) return failed(`error: ${error.message}\nSee '${path} -h' for help and examples`);
  if (error instanceof AggregateError) {
    const [first] = error.errors;
    if (error.errors.length === 1) return plainEnding(first, path);
    return failed(error.errors.map((each: unknown) => standardMessage(each) ?? messageOf(each)).join("\n"));
  }
  if (error instanceof StatusError && error.reason === "Invalid") return failed(invalid(error));
  if (nameOf(error) === "StreamError") return { text: `error: ${messageOf(error)}`, exitCode: brokenSessionCode };
  if (error instanceof JSONPathError) return failed(`error: error parsing jsonpath: ${error.message}`);
  const text = standardMessage(error) ?? withPrefix(messageOf(error));
  return { text, exitCode: error instanceof CommandError ? error.exitCode : 1 };
}

/** One error among several, or in a warning. */
export function messageFor(error: unknown): string {
  return visible(standardMessage(error) ?? messageOf(error));
}

function failed(text: string): Ending {
  return { text, exitCode: 1 };
}

/** The words for what the API answered, or for no answer; undefined for other errors. */
function standardMessage(error: unknown): string | undefined {
  if (error instanceof StatusError) {
    if (error.reason === "Unauthorized") return `error: You must be logged in to the server (${error.message})`;
    return error.reason
      ? `Error from server (${error.reason}): ${error.message}`
      : `Error from server: ${error.message}`;
  }
  if (nameOf(error) === "ConnectionError") return messageOf(error);
  if (nameOf(error) === "KubeconfigError" && (error as { configuration?: unknown }).configuration) {
    return `Error in configuration: ${messageOf(error)}`;
  }
  if (nameOf(error) === "CredentialError") return `Unable to connect to the server: ${messageOf(error)}`;
  return undefined;
}

function invalid(error: StatusError): string {
  const { details, message = "" } = error.status;
  if (!details) return `The request is invalid${message && `: ${message}`}`;
  const causes = details.causes ?? [];
  const named = details.kind || details.name;
  const what = named
    ? `The ${details.kind ?? ""} ${JSON.stringify(details.name ?? "")} is invalid`
    : "The request is invalid";
  if (causes.length === 0) return !named && message ? `${what}: ${message}` : what;
  const lines = [...new Set(causes.map(({ field = "", message: text = "" }: StatusCause) => `${field}: ${text}`))];
  return lines.length === 1 ? `${what}: ${lines[0]}` : `${what}: \n${lines.map((line) => `* ${line}`).join("\n")}`;
}

function withPrefix(message: string): string {
  return message.startsWith("error: ") ? message : `error: ${message}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// By name, so that a command that fails early need not load the client.
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function isBrokenPipe(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "EPIPE" &&
    "syscall" in error &&
    error.syscall === "write"
  );
}
