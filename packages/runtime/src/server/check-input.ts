import { isIP } from "node:net";
import path from "node:path";
import {
  Code,
  type ContainerConfig,
  CRIError,
  type DNSConfig,
  type LinuxContainerResources,
  type LinuxContainerSecurityContext,
  type LinuxSandboxSecurityContext,
  NamespaceMode,
  type PodSandboxConfig,
} from "@hawser/cri";
import { isOneOf } from "../oci/is-one-of.ts";
import { maxGroups } from "../oci/users.ts";

/** Longest name, namespace or uid, bytes: four times what Kubernetes has. They go into plugins' environments. */
const maxNameBytes = 1024;
/** Longest hostname, bytes. Source: Linux include/uapi/linux/utsname.h, __NEW_UTS_LEN */
const maxHostnameBytes = 64;
/** Longest text in a request, bytes: the longest argument or variable of a command. Source: Linux MAX_ARG_STRLEN */
const maxTextBytes = 128 * 1024;
/** Servers, searches and options of one DNS config each. */
const maxDNSEntries = 100;
/** Source: the kernel's own range of ids that containers may have; containerd's */
const maxId = 0x7fffffffn;

/** What cannot be said to a kernel, a file or a program as it is meant. Throws InvalidArgument, which names the field. */
export function checkSandboxConfig(config: PodSandboxConfig): void {
  checkTexts(config, "config");
  for (const part of ["name", "namespace", "uid"] as const) checkName(config.metadata?.[part], `metadata.${part}`);
  const { hostname, dnsConfig, portMappings, linux } = config;
  if (hostname) {
    plain(hostname, "hostname");
    if (hostname.includes("/") || Buffer.byteLength(hostname) > maxHostnameBytes) {
      refuse("hostname", `has a slash or more than ${maxHostnameBytes} bytes`);
    }
  }
  if (dnsConfig) checkDNS(dnsConfig);
  for (const { containerPort, hostPort, hostIp } of portMappings) {
    for (const [name, port] of Object.entries({ containerPort, hostPort })) {
      if (port < 0 || port > 65535) refuse(`port mapping's ${name}`, `is ${port}`);
    }
    // Without a host port a mapping is passed over, as by containerd.
    if (hostPort > 0 && containerPort === 0) refuse("port mapping's containerPort", `is 0, for host port ${hostPort}`);
    if (hostIp && isIP(hostIp) === 0) refuse("port mapping's host ip", `is no address: ${quoted(hostIp)}`);
  }
  if (config.logDirectory && !path.isAbsolute(config.logDirectory)) {
    refuse("log directory", `is not absolute: ${quoted(config.logDirectory)}`);
  }
  checkSecurity(linux?.securityContext);
}

export function checkContainerConfig(config: ContainerConfig): void {
  checkTexts(config, "config");
  checkName(config.metadata?.name, "metadata.name");
  for (const { key, value } of config.envs) {
    if (key === "" || key.includes("=")) refuse("environment variable's name", `is ${quoted(key)}`);
    if (value.includes(0)) refuse(`environment variable ${quoted(key)}`, "has a NUL");
    if (value.length > maxTextBytes)
      refuse(`environment variable ${quoted(key)}`, `has more than ${maxTextBytes} bytes`);
  }
  checkSecurity(config.linux?.securityContext);
  checkResources(config.linux?.resources);
}

/** -1 is no limit. */
const leastOf = [
  ["cpuPeriod", 0n],
  ["cpuQuota", -1n],
  ["cpuShares", 0n],
  ["memoryLimitInBytes", -1n],
  ["memorySwapLimitInBytes", -1n],
] as const;

export function checkResources(resources: LinuxContainerResources | undefined): void {
  if (!resources) return;
  checkTexts(resources, "resources");
  for (const [name, least] of leastOf) if (resources[name] < least) refuse(name, `is ${resources[name]}`);
  for (const { pageSize } of resources.hugepageLimits) {
    // Part of the name of a cgroup's file.
    if (!/^[1-9]\d{0,9}[KMG]B$/.test(pageSize)) refuse("hugepage limit's page size", `is ${quoted(pageSize)}`);
  }
  for (const name of ["cpusetCpus", "cpusetMems"] as const) {
    if (!/^[\d,\- ]*$/.test(resources[name])) refuse(name, `is ${quoted(resources[name])}`);
  }
  for (const name of Object.keys(resources.unified)) {
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_-]+)+$/.test(name)) refuse("unified resource's name", `is ${quoted(name)}`);
  }
}

/** A command's words: a NUL would end one of them, unsaid. */
export function checkCommand(command: readonly string[]): void {
  if (command.length === 0) throw new CRIError(Code.InvalidArgument, "command is empty");
  if (command.some((word) => word.includes("\0"))) refuse("command", "has a NUL");
}

/** Source: resolv.conf(5): a value with white space is two, one with a line's end another line. */
function checkDNS({ servers, searches, options }: DNSConfig): void {
  for (const [name, values] of Object.entries({ servers, searches, options })) {
    if (values.length > maxDNSEntries) refuse(`DNS ${name}`, `are more than ${maxDNSEntries}`);
    for (const value of values) plain(value, `DNS ${name}`);
  }
  for (const server of servers) {
    if (isIP(server.replace(/%.*$/, "")) === 0) refuse("DNS server", `is no address: ${quoted(server)}`);
  }
}

function checkName(name: string | undefined, where: string): void {
  if (name === undefined) return;
  if (Buffer.byteLength(name) > maxNameBytes) refuse(where, `has more than ${maxNameBytes} bytes`);
  if (hasControls(name)) refuse(where, `has a control character: ${quoted(name)}`);
}

function checkSecurity(security: LinuxSandboxSecurityContext | LinuxContainerSecurityContext | undefined): void {
  if (!security) return;
  const { runAsUser, runAsGroup, supplementalGroups, namespaceOptions } = security;
  checkIds({ "run as user": runAsUser?.value, "run as group": runAsGroup?.value });
  if (supplementalGroups.length > maxGroups) refuse("supplemental groups", `are more than ${maxGroups}`);
  for (const group of supplementalGroups) checkIds({ "supplemental group": group });
  for (const name of ["network", "pid", "ipc"] as const) {
    const mode = namespaceOptions?.[name] ?? NamespaceMode.POD;
    if (!isOneOf(NamespaceMode, mode)) refuse(`namespace mode of ${name}`, `is ${mode}, which is unknown`);
  }
}

function checkIds(ids: Record<string, bigint | undefined>): void {
  for (const [name, id] of Object.entries(ids)) {
    if (id !== undefined && (id < 0n || id > maxId)) refuse(name, `is ${id}, and not from 0 to ${maxId}`);
  }
}

/** Printable ASCII without white space. */
function plain(value: string, where: string): void {
  if (!/^[\x21-\x7e]+$/.test(value))
    refuse(where, `has white space or a control character, or is empty: ${quoted(value)}`);
}

/** Every text of a message, but what is kept as it is and read by nobody: labels and annotations. */
function checkTexts(value: unknown, where: string): void {
  if (typeof value === "string") {
    if (value.includes("\0")) refuse(where, "has a NUL");
    if (value.length > maxTextBytes) refuse(where, `has more than ${maxTextBytes} characters`);
    return;
  }
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  for (const [name, part] of Object.entries(value)) {
    if (name.startsWith("$") || name === "labels" || name === "annotations") continue;
    if (name.includes("\0")) refuse(where, "has a NUL in a name");
    checkTexts(part, Array.isArray(value) ? where : `${where}.${name}`);
  }
}

function hasControls(text: string): boolean {
  return /[\x00-\x1f\x7f]/.test(text);
}

/** For a message: on one line, and not long. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function refuse(what: string, how: string): never {
  throw new CRIError(Code.InvalidArgument, `${what} ${how}`);
}
