import { formatReference, parseReference } from "./reference.ts";
import type { AuthConfig } from "./registry/credentials.ts";
import { type HostsConfig, hostsFor } from "./registry/hosts.ts";
import type { Timeouts } from "./registry/timeouts.ts";

/** The `images` part of the runtime's configuration. Everything may be left out. */
export interface ImageStoreConfig extends HostsConfig {
  auth?: {
    /** Path of a docker config file, read at each pull. */
    dockerConfig?: string;
    /** By registry or mirror: `docker.io`, `127.0.0.1:5000`. */
    registries?: Readonly<Record<string, AuthConfig>>;
  };
  /** For registries that do not answer. Milliseconds. */
  timeouts?: Partial<Timeouts>;
  /** Names of images that the kubelet's image collection must leave. */
  pinned?: readonly string[];
}

/** A host, with its port if it has one; `*` for all others. */
const registryName = /^(\*|[A-Za-z0-9.-]+(:\d+)?|\[[\dA-Fa-f:.]+\](:\d+)?)$/;
const credentialNames = ["username", "password", "auth", "serverAddress", "identityToken", "registryToken"];

/** What to say of a name that does not exist, behind its message. */
type Hint = (key: string) => string;

/** Checks what came from a file. Throws an Error that names the setting. */
export function checkStoreConfig(value: unknown, hint: Hint = () => ""): ImageStoreConfig {
  const mapping = (part: unknown, where: string, names?: readonly string[]) => mappingOf(part, where, names, hint);
  const config = mapping(value, "images", ["mirrors", "insecureRegistries", "auth", "timeouts", "pinned"]);
  const mirrors = mapping(config.mirrors ?? {}, "images.mirrors");
  for (const [registry, addresses] of Object.entries(mirrors)) {
    strings(addresses, `images.mirrors.${registry}`);
    if (!registryName.test(registry)) throw new Error(`setting "images.mirrors": "${registry}" is no registry's name`);
  }
  strings(config.insecureRegistries ?? [], "images.insecureRegistries");
  for (const name of strings(config.pinned ?? [], "images.pinned")) formatReference(parseReference(name));
  const timeouts = mapping(config.timeouts ?? {}, "images.timeouts", ["connect", "response", "idle"]);
  for (const [name, time] of Object.entries(timeouts)) {
    if (typeof time !== "number" || !(time > 0))
      throw new Error(`setting "images.timeouts.${name}" has to be milliseconds`);
  }
  const auth = mapping(config.auth ?? {}, "images.auth", ["dockerConfig", "registries"]);
  if (!["string", "undefined"].includes(typeof auth.dockerConfig)) {
    throw new Error('setting "images.auth.dockerConfig" has to be a path');
  }
  for (const [registry, entry] of Object.entries(mapping(auth.registries ?? {}, "images.auth.registries"))) {
    const where = `images.auth.registries.${registry}`;
    strings(Object.values(mapping(entry, where, credentialNames)), where);
  }
  const checked = config as ImageStoreConfig; // each part was looked at above
  for (const registry of Object.keys(mirrors)) hostsFor(registry === "*" ? "example.com" : registry, checked);
  return checked;
}

function mappingOf(
  value: unknown,
  where: string,
  names: readonly string[] | undefined,
  hint: Hint,
): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`setting "${where}" has to be a mapping`);
  }
  for (const name of Object.keys(value)) {
    if (names && !names.includes(name)) {
      const full = `${where}.${name}`;
      throw new Error(`unknown setting "${full}"${hint(full)}`);
    }
  }
  return value as Record<string, unknown>;
}

function strings(value: unknown, where: string): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
    throw new Error(`setting "${where}" has to be a list of texts`);
  }
  return value;
}
