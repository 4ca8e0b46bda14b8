import { access } from "node:fs/promises";
import path from "node:path";
import type { Reaper } from "../native/reaper.ts";
import { outputOf, run, runWithin } from "../native/spawn.ts";
import { findProgram, needProgram } from "../oci/probe.ts";

/** Is there while systemd is the host's first process. Source: sd_booted(3) */
const bootedMark = "/run/systemd/system";
/** How long systemd may take to answer, or to stop a slice whose processes are gone, milliseconds. */
const patience = 30_000;
/** How much longer busctl may take to reach the bus, milliseconds. */
const connectPatience = 5000;
/** What systemctl exits with when it knows no such unit. Source: systemctl(1) */
const notLoaded = 5;

const manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

/** Throws, in words for the operator, where systemd is not the host's init. `mark` is for tests. */
export async function needBooted(mark = bootedMark): Promise<void> {
  await access(mark).catch((cause: unknown) => {
    throw new Error(
      `cgroupDriver "systemd": this host was not booted with systemd (there is no ${mark}): use cgroupfs, for the kubelet too`,
      { cause },
    );
  });
}

/**
 * Throws where systemd does not answer on the system's bus, by which the OCI runtime has to reach it too. Resolves with its
 * version.
 */
export async function reachSystemd({ reaper }: { reaper: Reaper }): Promise<string> {
  try {
    const answer = await callBus({ reaper }, ["get-property", ...manager, "Version"]);
    return /"(.*)"/.exec(answer)?.[1] ?? "";
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause;
    throw new Error(`cgroupDriver "systemd": systemd cannot be reached by the system's bus: ${why}`, { cause });
  }
}

/** Puts a process into a scope of its own in a slice: it goes when the process does. Throws when the process is gone. */
export async function adopt(
  { reaper }: { reaper: Reaper },
  { unit, slice, pid, description }: { unit: string; slice: string; pid: number; description: string },
): Promise<void> {
  const properties = [
    ["Description", "s", description],
    ["Slice", "s", slice],
    ["PIDs", "au", "1", String(pid)],
    ["DefaultDependencies", "b", "false"],
    ["CollectMode", "s", "inactive-or-failed"], // nothing of it is to stay known
  ];
  const signature = "ssa(sv)a(sa(sv))";
  const list = [String(properties.length), ...properties.flat()];
  await callBus({ reaper }, ["call", ...manager, "StartTransientUnit", signature, unit, "fail", ...list, "0"]);
}

/**
 * Has systemd forget the slice at `cgroup`, whose processes are gone; nothing where systemd is not there or has no such slice.
 * Throws with systemd's words when it does not do it within 30 s.
 */
export async function stopSlice({ reaper }: { reaper: Reaper }, cgroup: string): Promise<void> {
  const systemctl = await findProgram("systemctl");
  const booted = await access(bootedMark).then(
    () => true,
    () => false,
  );
  if (!systemctl || !booted) return;
  const args = ["stop", "--quiet", "--", path.posix.basename(cgroup)];
  const signal = AbortSignal.timeout(patience);
  const { code, stderr } = await run({ reaper }, { path: systemctl, args, signal });
  if (code !== 0 && code !== notLoaded) {
    throw new Error(`systemctl ${args.join(" ")}: ${stderr.trim() || `exit status ${code}`}`);
  }
}

async function callBus({ reaper }: { reaper: Reaper }, args: string[]): Promise<string> {
  const program = await needProgram("busctl", "systemd");
  const command = { path: program, args: ["--system", `--timeout=${patience / 1000}`, ...args] };
  // Its own time is for the answer, not for the way to the bus.
  return outputOf(command, await runWithin({ reaper }, patience + connectPatience, command));
}
