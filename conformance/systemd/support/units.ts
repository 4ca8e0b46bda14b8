import { execFile } from "node:child_process";
import { access, readdir } from "node:fs/promises";
import { promisify } from "node:util";
import { eventually } from "@hawser/testing";
import { removeCgroup } from "../../../packages/runtime/src/cgroup/paths.ts";
import { cgroupMode } from "../../../packages/runtime/src/oci/probe.ts";

export const run = promisify(execFile);

/** Is systemd this host's init? */
export const booted = await access("/run/systemd/system").then(
  () => true,
  () => false,
);

/** For `skip`: why these tests do not run here, or false. */
export const notBooted = !booted && "init is not systemd";

/** What systemd says of a unit. */
export async function show(unit: string, ...properties: string[]): Promise<Record<string, string>> {
  const { stdout } = await run("systemctl", ["show", "-p", properties.join(","), "--", unit]);
  return Object.fromEntries(
    stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  ) as Record<string, string>;
}

/** The units that systemd knows by such names, failed ones too. */
export async function units(...patterns: string[]): Promise<string[]> {
  const { stdout } = await run("systemctl", ["list-units", "--all", "--plain", "--no-legend", "--", ...patterns]);
  return stdout.split("\n").flatMap((line) => line.trim().split(/\s+/)[0] || []);
}

/** systemd does not know the unit any more: not as failed either. */
export async function gone(unit: string): Promise<void> {
  await eventually(async () => (await units(unit)).length === 0);
}

/** The cgroups of every hierarchy whose path has `part`. */
export async function cgroupsWith(part: string): Promise<string[]> {
  const all = await readdir("/sys/fs/cgroup", { recursive: true, withFileTypes: true });
  return all
    .filter((entry) => entry.isDirectory())
    .map(({ parentPath, name }) => `${parentPath}/${name}`)
    .filter((place) => place.includes(part))
    .sort();
}

/** Ends the slice above the pods', as the kubelet would that has made it. */
export async function endKubepods(): Promise<void> {
  if (!booted) return;
  await run("systemctl", ["stop", "kubepods.slice"]);
  await removeCgroup(await cgroupMode(), "/kubepods.slice"); // in those of v1's hierarchies that are not systemd's
}
