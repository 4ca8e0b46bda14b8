// Without the CRI's client: `hawser image` asks here too, before its own code is loaded.
import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { runtimeEndpoint } from "../cluster/arguments.ts";
import { clusterPaths, defaultDataDir } from "../cluster/paths.ts";
import { readSettings } from "../cluster/settings.ts";
import { MisuseError } from "./io.ts";

/** Where packaging/hawser-runtime.service has its socket. */
const serviceSocket = "/run/hawser/runtime.sock";
const usual = { dataDir: defaultDataDir, socket: serviceSocket };
type Defaults = typeof usual;

interface Asked {
  "runtime-endpoint"?: string | undefined;
  "data-dir"?: string | undefined;
}

/** The runtime that is meant, as `unix:///PATH`. Throws an Error that says how to name one where there is none. */
export async function findEndpoint(flags: Asked, env: NodeJS.ProcessEnv, defaults: Defaults = usual): Promise<string> {
  const { "runtime-endpoint": given, "data-dir": dataDir } = flags;
  if (given !== undefined && dataDir !== undefined) throw new MisuseError("--runtime-endpoint or --data-dir, not both");
  if (given !== undefined) return endpointOf(given, "--runtime-endpoint");
  if (dataDir !== undefined) {
    const found = await clusterEndpoint(dataDir);
    if (found === undefined) throw new Error(`there is no cluster in ${dataDir}`);
    return found;
  }
  const found = await usualEndpoint(env, defaults);
  if (found !== undefined) return found;
  throw new Error(
    `which runtime? There is no cluster in ${defaults.dataDir} and no service on ${defaults.socket}: say --data-dir DIR, --runtime-endpoint unix:///PATH or CONTAINER_RUNTIME_ENDPOINT`,
  );
}

/** The runtime that is meant where no flag says so: the environment's, that of the cluster in the default place, the service's. */
export async function usualEndpoint(env: NodeJS.ProcessEnv, defaults: Defaults = usual): Promise<string | undefined> {
  for (const name of ["HAWSER_RUNTIME_SOCKET", "CONTAINER_RUNTIME_ENDPOINT"]) {
    const value = env[name];
    if (value) return endpointOf(value, name);
  }
  const found = await clusterEndpoint(defaults.dataDir);
  if (found !== undefined) return found;
  return (await exists(defaults.socket)) ? `unix://${defaults.socket}` : undefined;
}

/** The path of an endpoint that one of these has found. */
export function socketOf(endpoint: string): string {
  return endpoint.slice("unix://".length);
}

async function clusterEndpoint(dataDir: string): Promise<string | undefined> {
  const paths = clusterPaths(dataDir);
  const settings = await readSettings(paths);
  return settings && endpointOf(runtimeEndpoint(paths, settings), paths.settings);
}

/** `unix:///PATH`, `unix:/PATH` or a path alone, which may be relative. */
function endpointOf(text: string, where: string): string {
  const path = text.replace(/^unix:(\/\/)?(?=\/)/, "");
  if (/^[a-z]+:/.test(path)) throw new MisuseError(`${where} "${text}" is not unix:///PATH`);
  return `unix://${resolve(path)}`;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
