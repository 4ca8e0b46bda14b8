import { execFile } from "node:child_process";
import { readPlainFile } from "@hawser/files";
import type { Credentials } from "./auth.ts";

/** Largest docker config taken, bytes. */
const maxConfigBytes = 1024 * 1024;
/** How long a credential helper may take, milliseconds. */
const helperTimeout = 10_000;

/** Credentials as the CRI's AuthConfig and docker's config file have them. Empty strings count as absent. */
export interface AuthConfig {
  username?: string;
  password?: string;
  /** `username:password` in base64. */
  auth?: string;
  /** The registry they are for. */
  serverAddress?: string;
  identityToken?: string;
  registryToken?: string;
}

/**
 * The credentials an AuthConfig has for a registry; undefined when it is empty, or meant for another one.
 * Throws an Error for a malformed `auth`.
 *
 * Source: containerd internal/cri/server/images/image_pull.go, ParseAuth.
 */
export function credentialsOf(auth: AuthConfig | undefined, registry: string): Credentials | undefined {
  if (!auth) return undefined;
  if (auth.serverAddress && registryName(auth.serverAddress) !== registryName(registry)) return undefined;
  if (auth.registryToken) return { kind: "registryToken", token: auth.registryToken };
  if (auth.identityToken) return { kind: "identityToken", token: auth.identityToken };
  if (auth.username) return { kind: "password", username: auth.username, password: auth.password ?? "" };
  if (!auth.auth) return undefined;
  const text = Buffer.from(auth.auth, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = text.indexOf(":");
  if (colon < 1) throw new Error("invalid decoded auth: it is not username:password");
  return { kind: "password", username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * What docker's config file has for a registry, its credential helpers included; undefined when nothing, or when there is
 * no such file. Throws an Error when the file is malformed or a helper fails.
 *
 * Source: docker/cli cli/config/configfile/file.go; docker/docker-credential-helpers.
 */
export async function dockerCredentials(path: string, registry: string): Promise<Credentials | undefined> {
  const text = await readPlainFile(path, maxConfigBytes).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined;
    throw new Error(`docker config ${path}: ${cause.message}`, { cause });
  });
  if (text === undefined) return undefined;
  let config: {
    auths?: Record<string, Record<string, string>>;
    credHelpers?: Record<string, string>;
    credsStore?: string;
  };
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new Error(`docker config ${path} is no JSON`, { cause });
  }
  const wanted = registryName(registry);
  const matches = ([name]: [string, unknown]) => registryName(name) === wanted;
  const [server, entry] = Object.entries(config.auths ?? {}).find(matches) ?? [];
  const helper = Object.entries(config.credHelpers ?? {}).find(matches)?.[1] ?? (entry ? config.credsStore : undefined);
  if (helper) return await askHelper(helper, server ?? registry);
  if (!entry) return undefined;
  const { username, password, auth, identitytoken, registrytoken } = entry;
  return credentialsOf(
    {
      ...(username && { username }),
      ...(password && { password }),
      ...(auth && { auth }),
      ...(identitytoken && { identityToken: identitytoken }),
      ...(registrytoken && { registryToken: registrytoken }),
    },
    registry,
  );
}

/** `https://index.docker.io/v1/` and its kin mean docker.io; other names lose scheme and path. */
export function registryName(address: string): string {
  const host = address.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return ["index.docker.io", "registry-1.docker.io", "www.docker.io"].includes(host) ? "docker.io" : host;
}

async function askHelper(helper: string, server: string): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9_.-]+$/.test(helper))
    throw new Error(`docker config names an invalid credential helper "${helper}"`);
  const program = `docker-credential-${helper}`;
  const output = await new Promise<string>((resolve, reject) => {
    const child = execFile(program, ["get"], { timeout: helperTimeout, maxBuffer: 1 << 20 }, (error, stdout) => {
      if (!error) resolve(stdout);
      else if (stdout.includes("credentials not found")) resolve("{}");
      else reject(new Error(`credential helper ${program} failed`, { cause: error }));
    });
    child.stdin?.on("error", () => undefined); // it may not read; its exit tells
    child.stdin?.end(server);
  });
  const { Username: username, Secret: secret } = JSON.parse(output) as { Username?: string; Secret?: string };
  if (!username || !secret) return undefined;
  if (username === "<token>") return { kind: "identityToken", token: secret };
  return { kind: "password", username, password: secret };
}
