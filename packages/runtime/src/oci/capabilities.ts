import type { Capability } from "@hawser/cri";
import { Code, CRIError } from "@hawser/cri";
import type { Host } from "./host.ts";
import type { Capabilities } from "./types.ts";

/** By bit number. Source: linux/capability.h */
export const capabilityNames = [
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"],
  ...["LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"],
  ...["SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"],
  ...["SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"],
  ...["MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"],
  "CHECKPOINT_RESTORE",
].map((name) => `CAP_${name}`);

/** What a container has when nothing is said. Source: containerd/containerd pkg/oci/spec.go */
const defaults = [
  ...["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"],
  ...["NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"],
].map((name) => `CAP_${name}`);

export interface CapabilityRequest {
  privileged: boolean;
  capability: Capability | undefined;
  /** Not root: nothing is effective unless ambient. */
  nonRoot: boolean;
}

/**
 * The capability sets of a container: the default ones, or with `ALL` every one, or none where `ALL` is dropped; then what is
 * added by name, less what is dropped by name.
 * What our own bounding set lacks is left out, for `ALL` and for privileged too. Inheritable is always empty (CVE-2022-24769)
 * but for ambient ones. Throws InvalidArgument for a name that does not exist.
 *
 * Source: containerd/containerd internal/cri/opts/spec_linux_opts.go
 */
export function capabilitySets(
  host: Pick<Host, "capabilities">,
  { privileged, capability, nonRoot }: CapabilityRequest,
): Capabilities {
  const add = (capability?.addCapabilities ?? []).map(known);
  const drop = (capability?.dropCapabilities ?? []).map(known);
  const ambient = (capability?.addAmbientCapabilities ?? []).map(known);
  const all = add.includes("ALL");
  const start = privileged ? capabilityNames : drop.includes("ALL") ? [] : all ? capabilityNames : defaults;
  const wanted = new Set([...start, ...add, ...ambient]);
  wanted.delete("ALL");
  if (!privileged) for (const name of drop) wanted.delete(name);
  const granted = capabilityNames.filter((name) => wanted.has(name) && host.capabilities.has(name));
  const kept = granted.filter((name) => ambient.includes(name));
  return {
    bounding: granted,
    effective: nonRoot ? kept : granted,
    permitted: nonRoot ? kept : granted,
    inheritable: kept,
    ambient: kept,
  };
}

function known(name: string): string {
  const full = name.toUpperCase();
  if (full === "ALL") return full;
  const prefixed = full.startsWith("CAP_") ? full : `CAP_${full}`;
  if (!capabilityNames.includes(prefixed)) throw new CRIError(Code.InvalidArgument, `unknown capability "${name}"`);
  return prefixed;
}
