// What the query of a pod's streaming subresources says. Source: kubernetes/api core/v1/types.go, kubernetes/apimachinery pkg/runtime/converter
import { booleanParameter } from "./query.ts";
import { badRequest } from "./status.ts";

export interface PodAttachOptions {
  container?: string;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

export interface PodExecOptions extends PodAttachOptions {
  command: string[];
}

export interface PodPortForwardOptions {
  ports: number[];
}

export interface PodLogOptions {
  container?: string;
  follow: boolean;
  previous: boolean;
  timestamps: boolean;
  insecureSkipTLSVerifyBackend: boolean;
  sinceSeconds?: number;
  /** RFC 3339. */
  sinceTime?: string;
  tailLines?: number;
  limitBytes?: number;
  stream?: string;
}

export function parsePodExecOptions(query: URLSearchParams): PodExecOptions {
  return { ...parsePodAttachOptions(query), command: query.getAll("command") };
}

export function parsePodAttachOptions(query: URLSearchParams): PodAttachOptions {
  const container = query.get("container");
  return {
    ...(container && { container }),
    stdin: booleanParameter(query, "stdin"),
    stdout: booleanParameter(query, "stdout"),
    stderr: booleanParameter(query, "stderr"),
    tty: booleanParameter(query, "tty"),
  };
}

/** `ports=80&ports=81` and `ports=80,81`. Throws StatusError 400 for what is no port. */
export function parsePodPortForwardOptions(query: URLSearchParams): PodPortForwardOptions {
  const texts = query.getAll("ports").flatMap((part) => part.split(","));
  return { ports: texts.map(port) };
}

/** Throws StatusError 400 for a number that is none, or none of 64 bits. */
export function parsePodLogOptions(query: URLSearchParams): PodLogOptions {
  const text = (name: "container" | "sinceTime" | "stream") => {
    const value = query.get(name);
    return value ? { [name]: value } : {};
  };
  return {
    ...text("container"),
    ...text("sinceTime"),
    ...text("stream"),
    follow: booleanParameter(query, "follow"),
    previous: booleanParameter(query, "previous"),
    timestamps: booleanParameter(query, "timestamps"),
    insecureSkipTLSVerifyBackend: booleanParameter(query, "insecureSkipTLSVerifyBackend"),
    ...integer(query, "sinceSeconds"),
    ...integer(query, "tailLines"),
    ...integer(query, "limitBytes"),
  };
}

export function podExecOptionsQuery(options: PodExecOptions): URLSearchParams {
  const query = new URLSearchParams(options.command.map((part): [string, string] => ["command", part]));
  for (const [name, value] of podAttachOptionsQuery(options)) query.append(name, value);
  return query;
}

/** False members are left out, as kubectl does. */
export function podAttachOptionsQuery(options: PodAttachOptions): URLSearchParams {
  return queryOf({
    container: options.container,
    stderr: options.stderr,
    stdin: options.stdin,
    stdout: options.stdout,
    tty: options.tty,
  });
}

export function podLogOptionsQuery(options: Partial<PodLogOptions>): URLSearchParams {
  return queryOf({ ...options });
}

function queryOf(members: Record<string, string | number | boolean | undefined>): URLSearchParams {
  const pairs = Object.entries(members).filter(([, value]) => value !== undefined && value !== false && value !== "");
  return new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, String(value)]));
}

function integer(query: URLSearchParams, name: string): Record<string, number> {
  const value = query.get(name);
  if (value === null || value === "") return {};
  if (!/^-?\d+$/.test(value)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  }
  const tooLong = value.replace(/^-?0*/, "").length > 19; // not even read: a query may be as long as a request's head
  if (tooLong || BigInt(value) !== BigInt.asIntN(64, BigInt(value))) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: value out of range`);
  }
  // Beyond what a number holds exactly, one number is as good as the other, and has to stay within 64 bits.
  return { [name]: Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(value))) };
}

function port(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 65535)
    throw badRequest(`unable to parse ${JSON.stringify(text)} as a port`);
  return value;
}
