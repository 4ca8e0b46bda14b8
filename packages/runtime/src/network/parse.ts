import type { Plugin } from "./cni.ts";
import type { NetworkList } from "./list.ts";

/** Most plugins of one network. */
const maxPlugins = 32;
/** The latest version of CNI's specification that is known here. */
const latest = "1.1.0";

/** What a file says of a network, and whether further plugins of it may be in files of their own. */
export interface ParsedNetwork extends NetworkList {
  isOpen: boolean;
}

/**
 * A network by the text of its file: a list of plugins (*.conflist), or one plugin alone (*.conf, *.json). Throws, in words for
 * people, for what is no network.
 *
 * Source: containernetworking/cni SPEC.md, section 1; libcni/conf.go
 */
export function parseNetwork(text: string, { isList }: { isList: boolean }): ParsedNetwork {
  const conf = objectOf(JSON.parse(text), "the file");
  const { name } = conf;
  if (typeof name !== "string" || !/^[a-zA-Z0-9][\w.-]{0,254}$/.test(name)) {
    throw new Error(`name has to be letters, digits, "_", "." and "-", and not ${quoted(name)}`);
  }
  const cniVersion = versionOf(conf);
  if (!isList) return { name, cniVersion, plugins: [pluginOf(conf, "the file")], isOpen: false };
  const isOpen = !flagOf(conf.loadOnlyInlinedPlugins);
  const { plugins = [] } = conf;
  if (!Array.isArray(plugins)) throw new Error("plugins is no list");
  const parsed = plugins.map((each: unknown, index) => pluginOf(objectOf(each, `plugin ${index}`), `plugin ${index}`));
  return { name, cniVersion, plugins: parsed, isOpen };
}

/** One further plugin of a network, by the text of its file. Throws as parseNetwork() does. */
export function parsePlugin(text: string): Plugin {
  return pluginOf(objectOf(JSON.parse(text), "the file"), "the file");
}

/** Throws for a network that cannot be run: of no plugins, of too many, or nested deeper than can be written again. */
export function checkNetwork({ plugins }: NetworkList): void {
  if (plugins.length === 0) throw new Error("there are no plugins");
  if (plugins.length > maxPlugins) throw new Error(`there are ${plugins.length} plugins, more than ${maxPlugins}`);
  JSON.stringify(plugins);
}

function pluginOf(conf: Record<string, unknown>, where: string): Plugin {
  const { type, ipam, capabilities } = conf;
  if (type === undefined && Array.isArray(conf.plugins)) {
    throw new Error(`${where} has no type, but plugins: a list has to be in a *.conflist`);
  }
  checkType(type, `type of ${where}`);
  if (ipam !== undefined && ipam !== null) {
    const { type: ipamType } = objectOf(ipam, `ipam of ${where}`);
    if (ipamType !== undefined && ipamType !== "") checkType(ipamType, `type of ipam of ${where}`);
  }
  if (capabilities !== undefined && capabilities !== null) {
    const values = Object.values(objectOf(capabilities, `capabilities of ${where}`));
    if (values.some((value) => typeof value !== "boolean"))
      throw new Error(`capabilities of ${where} are not all true or false`);
  }
  return conf as Plugin; // as far as it is looked at
}

/** The name of a program beside others: it leads nowhere else. */
function checkType(type: unknown, where: string): void {
  if (typeof type !== "string" || !/^[\w+-][\w.+-]{0,254}$/.test(type)) {
    throw new Error(`${where} has to be a plugin's name, and not ${quoted(type)}`);
  }
}

/** The highest that is known here of those it may be; without any it is of the first. */
function versionOf({ cniVersion = "0.1.0", cniVersions = [] }: Record<string, unknown>): string {
  const offered: unknown[] = Array.isArray(cniVersions) ? cniVersions : [undefined];
  for (const version of [cniVersion, ...offered]) {
    if (typeof version !== "string" || !/^(\d{1,4}\.\d{1,4}\.\d{1,4})?$/.test(version)) {
      throw new Error(`cniVersion and cniVersions have to be as ${latest}, and not ${quoted(version)}`);
    }
  }
  const all = [cniVersion, ...offered] as string[];
  const known = all.filter((version) => compare(version, latest) <= 0).toSorted(compare);
  return known.at(-1) || String(cniVersion) || "0.1.0";
}

function compare(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** As libcni takes it: also in quotes. */
function flagOf(value: unknown): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  if (typeof value === "string" && /^(true|false)$/i.test(value)) return value.toLowerCase() === "true";
  throw new Error(`loadOnlyInlinedPlugins has to be true or false, and not ${quoted(value)}`);
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${what} is no object`);
}

function quoted(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 80);
}
