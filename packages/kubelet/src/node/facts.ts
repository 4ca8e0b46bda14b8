import { readFile, statfs } from "node:fs/promises";
import os from "node:os";

export interface NodeFacts {
  osImage: string;
  kernelVersion: string;
  /** Go's name: amd64, arm64. */
  architecture: string;
  machineID: string;
  systemUUID: string;
  bootID: string;
  cpus: number;
  /** Bytes. */
  memory: number;
}

const architectures: Record<string, string> = { x64: "amd64", ia32: "386" };

/** What this machine is. */
export async function nodeFacts(): Promise<NodeFacts> {
  const read = async (file: string) => (await readFile(file, "utf8").catch(() => "")).trim();
  const [release, machineID, systemUUID, bootID, meminfo] = await Promise.all([
    read("/etc/os-release"),
    read("/etc/machine-id"),
    read("/sys/class/dmi/id/product_uuid"),
    read("/proc/sys/kernel/random/boot_id"),
    read("/proc/meminfo"),
  ]);
  return {
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? "Linux",
    kernelVersion: os.release(),
    architecture: architectures[process.arch] ?? process.arch,
    machineID,
    systemUUID: systemUUID || machineID,
    bootID,
    cpus: os.cpus().length,
    memory: kibibytes(meminfo, "MemTotal") || os.totalmem(),
  };
}

/** What changes from moment to moment, and decides about pressure. */
export interface NodePressure {
  /** Bytes. */
  memoryAvailable: number;
  /** Bytes of the file system below the kubelet's root, and inodes. */
  disk: { size: number; available: number; inodes: number; inodesFree: number };
  pids: { limit: number; used: number };
}

export async function nodePressure(rootDir: string): Promise<NodePressure> {
  const [meminfo, disk, limit, loadavg] = await Promise.all([
    readFile("/proc/meminfo", "utf8"),
    statfs(rootDir),
    readFile("/proc/sys/kernel/pid_max", "utf8"),
    readFile("/proc/loadavg", "utf8"),
  ]);
  return {
    memoryAvailable: kibibytes(meminfo, "MemAvailable"),
    disk: {
      size: disk.blocks * disk.bsize,
      available: disk.bavail * disk.bsize,
      inodes: disk.files,
      inodesFree: disk.ffree,
    },
    pids: { limit: Number(limit), used: Number(/\/(\d+)/.exec(loadavg)?.[1] ?? 0) },
  };
}

function kibibytes(meminfo: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
}

/** The address the node is reached at: of the default route's interface, else the first that is not loopback. */
export async function findNodeIP(): Promise<string> {
  const routes = await readFile("/proc/net/route", "utf8").catch(() => "");
  const gateway = routes
    .split("\n")
    .map((line) => line.split("\t"))
    .find(([, destination, , flags]) => destination === "00000000" && Number.parseInt(flags ?? "0", 16) & 1);
  const interfaces = os.networkInterfaces();
  const ordered = [gateway?.[0] ?? "", ...Object.keys(interfaces)];
  for (const name of ordered) {
    const found = interfaces[name]?.find(({ family, internal }) => family === "IPv4" && !internal);
    if (found) return found.address;
  }
  return "127.0.0.1";
}
