import { access, constants } from "node:fs/promises";
import { resolve } from "node:path";
import { type CRIConnection, connectCRI, socketPathOf } from "@hawser/cri";
import { runtimeEndpoint } from "../cluster/arguments.ts";
import { clusterPaths, defaultDataDir } from "../cluster/paths.ts";
import { readSettings } from "../cluster/settings.ts";
import { MisuseError } from "./io.ts";

/** Where packaging/hawser-runtime.service has its socket. */
const serviceSocket = "/run/hawser/runtime.sock";
/** How long a runtime may take to answer, milliseconds. */
const connectMs = 3_000;

interface Asked {
  "runtime-endpoint"?: string | undefined;
  "data-dir"?: string | undefined;
}

/**
 * The runtime that is meant, as `unix:///PATH`: what the flags say, then what the environment says, then the cluster in the default place,
 * then the service. Throws where there is none.
 */
export async function findEndpoint(
  flags: Asked,
  env: NodeJS.ProcessEnv,
  defaults = { dataDir: defaultDataDir, socket: serviceSocket },
): Promise<string> {
  const { "runtime-endpoint": given, "data-dir": dataDir } = flags;
  if (given !== undefined && dataDir !== undefined) throw new MisuseError("--runtime-endpoint or --data-dir, not both");
  if (given !== undefined) return endpointOf(given, "--runtime-endpoint");
  if (dataDir !== undefined) {
    const found = await clusterEndpoint(dataDir);
    if (found === undefined) throw new Error(`there is no cluster in ${dataDir}`);
    return found;
  }
  for (const name of ["CONTAINER_RUNTIME_ENDPOINT", "HAWSER_RUNTIME_SOCKET"]) {
    const value = env[name];
    if (value) return endpointOf(value, name);
  }
  const found = await clusterEndpoint(defaults.dataDir);
  if (found !== undefined) return found;
  if (await exists(defaults.socket)) return `unix://${defaults.socket}`;
  throw new Error(
    `which runtime? There is no cluster in ${defaults.dataDir} and no service on ${defaults.socket}: say --data-dir DIR, --runtime-endpoint unix:///PATH or CONTAINER_RUNTIME_ENDPOINT`,
  );
}

/** Connects at once or not at all. Throws an Error that says why. */
export async function connectTo(endpoint: string): Promise<CRIConnection> {
  const socket = socketPathOf(endpoint);
  await access(socket, constants.R_OK | constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "EACCES")
      throw new Error(`${socket}: permission denied; the runtime's socket is root's`, { cause });
    if (cause.code === "ENOENT") throw new Error(`no runtime runs on ${endpoint}: there is no such socket`, { cause });
    throw cause;
  });
  return await connectCRI({ endpoint, timeoutMs: connectMs });
}

async function clusterEndpoint(dataDir: string): Promise<string | undefined> {
  const paths = clusterPaths(dataDir);
  const settings = await readSettings(paths);
  return settings && runtimeEndpoint(paths, settings);
}

function endpointOf(text: string, where: string): string {
  if (/^[a-z]+:/.test(text)) {
    try {
      return `unix://${socketPathOf(text)}`;
    } catch (cause) {
      throw new MisuseError(`${where} "${text}" is not unix:///PATH`, { cause });
    }
  }
  return `unix://${resolve(text)}`; // in a URL, a relative path would be a host
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
