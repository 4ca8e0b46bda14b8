import { chown, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { DNSConfig } from "@hawser/cri";
import { readPlainFile } from "@hawser/files";
import { type IDMappings, rootOf } from "../native/idmap.ts";
import { MS, mount, unmount } from "../native/mount.ts";
import { turn } from "../turns.ts";

/** Size of a pod's /dev/shm. Source: containerd/containerd internal/cri/server/podsandbox (64 MiB as Docker's) */
const shmBytes = 64 * 1024 * 1024;
/** Largest hosts and resolv.conf of the node that a pod is given, bytes. */
const maxNodeFileBytes = 1024 * 1024;

/** Where the files of a sandbox are that its containers get. */
export function sandboxFiles(directory: string): Record<string, string> {
  return {
    "/etc/hostname": path.join(directory, "hostname"),
    "/etc/hosts": path.join(directory, "hosts"),
    "/etc/resolv.conf": path.join(directory, "resolv.conf"),
  };
}

export function shmPath(directory: string): string {
  return path.join(directory, "shm");
}

/** Writes a pod's hostname, hosts and resolv.conf; without a DNS config it has the node's resolv.conf. */
export async function writeSandboxFiles(
  directory: string,
  { hostname, dns, users }: { hostname: string; dns: DNSConfig | undefined; users?: IDMappings | undefined },
): Promise<void> {
  const files = sandboxFiles(directory);
  const resolv = files["/etc/resolv.conf"] ?? "";
  await Promise.all([
    writeFile(files["/etc/hostname"] ?? "", `${hostname}\n`, { mode: 0o644 }),
    copyOr("/etc/hosts", files["/etc/hosts"] ?? "", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"),
    dns ? writeFile(resolv, resolvConf(dns), { mode: 0o644 }) : copyOr("/etc/resolv.conf", resolv, ""),
  ]);
  if (!users) return;
  const { uid, gid } = rootOf(users);
  await Promise.all(Object.values(files).map((file) => chown(file, uid, gid)));
}

async function copyOr(from: string, to: string, otherwise: string): Promise<void> {
  const text = await readPlainFile(from, maxNodeFileBytes).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return otherwise;
    throw new Error(`${from} of the node: ${cause.message}`, { cause });
  });
  await writeFile(to, text, { mode: 0o644 });
}

/** Source: resolv.conf(5). No value can end its own line. */
export function resolvConf({
  servers,
  searches,
  options,
}: Pick<DNSConfig, "servers" | "searches" | "options">): string {
  const plain = (values: string[]) => values.map((value) => value.replaceAll(/\s+/g, ""));
  return [
    ...(searches.length > 0 ? [`search ${plain(searches).join(" ")}`] : []),
    ...plain(servers).map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${plain(options).join(" ")}`] : []),
    "",
  ].join("\n");
}

/** Mounts the /dev/shm that a pod's containers share; it belongs to the root of the pod's users. */
export async function mountShm(directory: string, users?: IDMappings): Promise<void> {
  const owner = users && rootOf(users);
  const target = shmPath(directory);
  await mkdir(target, { recursive: true, mode: 0o1777 });
  await turn();
  mount({
    source: "shm",
    target,
    type: "tmpfs",
    flags: MS.nosuid | MS.nodev | MS.noexec,
    data: `mode=1777,size=${shmBytes}${owner ? `,uid=${owner.uid},gid=${owner.gid}` : ""}`,
  });
}

export async function unmountShm(directory: string): Promise<void> {
  await unmount(shmPath(directory));
}
