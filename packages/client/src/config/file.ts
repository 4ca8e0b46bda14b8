import * as fs from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import { checkMembers, type Shape } from "./shape.ts";
import { parseSimpleYAML } from "./simple-yaml.ts";

/** Thrown when a kubeconfig cannot be read, is malformed, or names what is not there. The text is kubectl's. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
  /** The file could be read; what it says does not fit together. */
  readonly configuration: boolean;

  constructor(message: string, { configuration = false, cause }: { configuration?: boolean; cause?: unknown } = {}) {
    super(message, { cause });
    this.configuration = configuration;
  }
}

export interface Cluster {
  server?: string;
  "certificate-authority"?: string;
  "certificate-authority-data"?: string;
  "insecure-skip-tls-verify"?: boolean;
  "tls-server-name"?: string;
  "proxy-url"?: string;
  "disable-compression"?: boolean;
  extensions?: { name: string; extension: unknown }[] | null;
}

export interface ExecConfig {
  apiVersion?: string;
  command: string;
  args?: string[] | null;
  env?: { name: string; value: string }[] | null;
  installHint?: string;
  interactiveMode?: "Never" | "IfAvailable" | "Always";
  provideClusterInfo?: boolean;
}

export interface User {
  "client-certificate"?: string;
  "client-certificate-data"?: string;
  "client-key"?: string;
  "client-key-data"?: string;
  token?: string;
  tokenFile?: string;
  username?: string;
  password?: string;
  exec?: ExecConfig;
  "auth-provider"?: unknown;
  as?: string;
  "as-uid"?: string;
  "as-groups"?: string[];
  "as-user-extra"?: Record<string, string[]>;
}

export interface Context {
  cluster?: string;
  user?: string;
  namespace?: string;
}

/** A kubeconfig with its lists as maps. Paths in it are absolute. Shape: client-go tools/clientcmd/api/v1/types.go */
export interface Kubeconfig {
  currentContext: string;
  clusters: Map<string, Cluster>;
  users: Map<string, User>;
  contexts: Map<string, Context>;
  /** The files that were read, first one first. */
  files: string[];
}

// node:fs/promises takes a short command a while to load.
const readFile = promisify(fs.readFile);
const stat = promisify(fs.stat);

/** Bytes of one kubeconfig. */
const maxFileBytes = 8 * 1024 * 1024;

export function emptyKubeconfig(): Kubeconfig {
  return { currentContext: "", clusters: new Map(), users: new Map(), contexts: new Map(), files: [] };
}

export interface KubeconfigPlace {
  /** One file, which must be there. */
  path?: string | undefined;
  env?: NodeJS.ProcessEnv | undefined;
}

/** The files that make up the kubeconfig: `path`; else KUBECONFIG's list; else ~/.kube/config. */
export async function kubeconfigPaths({ path, env = process.env }: KubeconfigPlace): Promise<string[]> {
  if (path) return [resolve(path)];
  if (env.KUBECONFIG) {
    const { delimiter } = await import("node:path");
    return [...new Set(env.KUBECONFIG.split(delimiter).filter(Boolean))];
  }
  const { homedir } = await import("node:os");
  return [join(env.HOME || homedir(), ".kube", "config")];
}

/**
 * Reads and merges the files of `kubeconfigPaths`: what the first file sets stays. Files of a list may be missing,
 * a `path` may not. Throws KubeconfigError.
 *
 * Source: kubernetes/client-go tools/clientcmd/loader.go
 */
export async function readKubeconfig(place: KubeconfigPlace = {}): Promise<Kubeconfig> {
  const merged = emptyKubeconfig();
  for (const file of await kubeconfigPaths(place)) {
    const text = await readText(file, place.path !== undefined);
    if (text === undefined) continue;
    merge(merged, await parseKubeconfig(text, file));
  }
  return merged;
}

/** One file's content. `file` names it in errors, and its folder is where relative paths start. */
export async function parseKubeconfig(text: string, file: string): Promise<Kubeconfig> {
  const value = await parseYAML(text, file);
  const config = emptyKubeconfig();
  config.files.push(file);
  if (value === null || value === undefined) return config;
  if (!isRecord(value)) throw new KubeconfigError(`error loading config file "${file}": it is not a mapping`);
  if (value.kind !== undefined && value.kind !== "" && value.kind !== "Config") {
    throw new KubeconfigError(
      `error loading config file "${file}": no kind ${JSON.stringify(value.kind)} is registered`,
    );
  }
  if (typeof value["current-context"] === "string") config.currentContext = value["current-context"];
  const folder = dirname(resolve(file));
  for (const [name, cluster] of entries(value.clusters, clusterShape, { key: "cluster", file })) {
    config.clusters.set(name, withPaths(cluster, ["certificate-authority"], folder));
  }
  for (const [name, user] of entries(value.users, userShape, { key: "user", file })) {
    const fixed = withPaths(user, ["client-certificate", "client-key", "tokenFile"], folder);
    if (fixed.exec?.command && /[/\\]/.test(fixed.exec.command)) {
      fixed.exec = { ...fixed.exec, command: absolute(fixed.exec.command, folder) };
    }
    config.users.set(name, fixed);
  }
  for (const [name, context] of entries(value.contexts, contextShape, { key: "context", file }))
    config.contexts.set(name, context);
  return config;
}

const clusterShape: Shape<Cluster> = {
  server: "text",
  "certificate-authority": "text",
  "certificate-authority-data": "base64",
  "insecure-skip-tls-verify": "toggle",
  "tls-server-name": "text",
  "proxy-url": "text",
  "disable-compression": "toggle",
  extensions: "list",
};
const userShape: Shape<User> = {
  "client-certificate": "text",
  "client-certificate-data": "base64",
  "client-key": "text",
  "client-key-data": "base64",
  token: "text",
  tokenFile: "text",
  username: "text",
  password: "text",
  exec: {
    apiVersion: "text",
    command: "text",
    args: "texts",
    env: "list",
    installHint: "text",
    interactiveMode: "text",
    provideClusterInfo: "toggle",
  },
  as: "text",
  "as-uid": "text",
  "as-groups": "texts",
  "as-user-extra": "map of texts",
};
const contextShape: Shape<Context> = { cluster: "text", user: "text", namespace: "text" };

function merge(into: Kubeconfig, from: Kubeconfig): void {
  into.currentContext ||= from.currentContext;
  into.files.push(...from.files);
  for (const [name, value] of from.clusters) if (!into.clusters.has(name)) into.clusters.set(name, value);
  for (const [name, value] of from.users) if (!into.users.has(name)) into.users.set(name, value);
  for (const [name, value] of from.contexts) if (!into.contexts.has(name)) into.contexts.set(name, value);
}

async function readText(file: string, required: boolean): Promise<string | undefined> {
  try {
    const { size } = await stat(file);
    if (size > maxFileBytes) throw new KubeconfigError(`error loading config file "${file}": it has ${size} bytes`);
    return await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof KubeconfigError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" && !required) return undefined;
    if (code === "ENOENT") throw new KubeconfigError(`stat ${file}: no such file or directory`, { cause });
    const words = code === "EACCES" ? "permission denied" : code === "EISDIR" ? "is a directory" : String(code);
    throw new KubeconfigError(`error loading config file "${file}": open ${file}: ${words}`, { cause });
  }
}

async function parseYAML(text: string, file: string): Promise<unknown> {
  try {
    if (text.trimStart().startsWith("{")) return JSON.parse(text);
    const simple = parseSimpleYAML(text);
    if (simple !== undefined) return simple;
    const { parse } = await import("yaml");
    return parse(text, { maxAliasCount: 100 });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new KubeconfigError(`error loading config file "${file}": yaml: ${message}`, { cause });
  }
}

function* entries<T extends object>(
  list: unknown,
  shape: Shape<T>,
  { key, file }: { key: string; file: string },
): Generator<[string, T]> {
  if (list === undefined || list === null) return;
  if (!Array.isArray(list)) throw new KubeconfigError(`error loading config file "${file}": ${key}s is not a list`);
  const seen = new Set<string>();
  for (const item of list as unknown[]) {
    if (!isRecord(item) || typeof item.name !== "string") {
      throw new KubeconfigError(`error loading config file "${file}": an entry of ${key}s has no name`);
    }
    if (seen.has(item.name)) {
      throw new KubeconfigError(`error loading config file "${file}": duplicate name "${item.name}" in ${key}s`);
    }
    seen.add(item.name);
    const value = item[key];
    if (value !== undefined && value !== null && !isRecord(value)) {
      throw new KubeconfigError(`error loading config file "${file}": ${key} "${item.name}" is not a mapping`);
    }
    const wrong = checkMembers(value ?? {}, shape);
    if (wrong) throw new KubeconfigError(`error loading config file "${file}": ${key} "${item.name}": ${wrong}`);
    yield [item.name, (value ?? {}) as T];
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withPaths<T extends object>(value: T, keys: (keyof T)[], folder: string): T {
  const result = { ...value };
  for (const key of keys) {
    const path = result[key];
    if (typeof path === "string" && path) result[key] = absolute(path, folder) as T[keyof T];
  }
  return result;
}

function absolute(path: string, folder: string): string {
  return isAbsolute(path) ? path : join(folder, path);
}
