import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { checkDNSSubdomain } from "@hawser/api";
import type { ClusterPaths } from "./paths.ts";
import { listenerOn } from "./proc.ts";

/** A program that a cluster calls, where it may be, and the Debian package that brings it. */
interface Program {
  name: string;
  package: string;
  /** Folders to look in besides PATH. */
  folders?: string[];
}

const cniFolders = ["/usr/lib/cni", "/opt/cni/bin"];
const needed: Program[] = [
  { name: "conmon", package: "conmon", folders: ["/usr/libexec/podman", "/usr/lib/podman"] },
  { name: "bridge", package: "containernetworking-plugins", folders: cniFolders },
  { name: "catatonit", package: "catatonit", folders: ["/usr/libexec/catatonit"] },
  { name: "iptables", package: "iptables", folders: ["/usr/sbin", "/sbin"] },
  { name: "ip", package: "iproute2", folders: ["/usr/sbin", "/sbin"] },
  { name: "nsenter", package: "util-linux" },
  { name: "tar", package: "tar" },
];

/** Throws, naming what to do, when this process cannot run a cluster of ours. */
export async function checkMachine(options: {
  ociRuntime?: "crun" | "runc" | undefined;
  ownRuntime: boolean;
}): Promise<void> {
  if (process.platform !== "linux") throw new Error(`hawser up needs Linux, and this is ${process.platform}`);
  if (process.getuid?.() !== 0)
    throw new Error("hawser up needs root: containers, networks and mounts. Try: sudo hawser up");
  if (!options.ownRuntime) return;
  const missing: Program[] = [];
  for (const program of needed) if (!(await find(program))) missing.push(program);
  const either = options.ociRuntime ? [options.ociRuntime] : ["crun", "runc"];
  const found = await Promise.all(either.map((name) => find({ name, package: name })));
  if (!found.some(Boolean)) missing.push({ name: either.join(" or "), package: either[0] ?? "crun" });
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => program.package))].join(" ");
  throw new Error(
    `hawser up needs ${missing.map((program) => program.name).join(", ")}, which ${missing.length > 1 ? "are" : "is"} not installed. On Debian: apt-get install ${packages}`,
  );
}

async function find({ name, folders = [] }: Program): Promise<string | undefined> {
  for (const folder of [...folders, ...(process.env.PATH ?? "").split(delimiter)]) {
    const path = join(folder || ".", name);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

/** Bytes of a socket's path that the kernel takes. */
const maxSocketPath = 107;

/** Throws, naming the flag to change, for settings no cluster can have. */
export function checkSettings({ runtimeSocket }: Pick<ClusterPaths, "runtimeSocket">, nodeName: string): void {
  const [wrong] = checkDNSSubdomain(nodeName);
  if (wrong) throw new Error(`--node-name ${JSON.stringify(nodeName)}: ${wrong}`);
  const tooLong = Buffer.byteLength(runtimeSocket) - maxSocketPath;
  if (tooLong <= 0) return;
  throw new Error(`${runtimeSocket} is ${tooLong} bytes too long for a socket; choose a shorter --data-dir`);
}

/** Throws, naming the port and who has it, when a port is taken. */
export async function checkPort(port: number, use: string, flag: string): Promise<void> {
  const server = createServer();
  const err = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    server.once("error", resolve).listen({ port, host: "0.0.0.0", exclusive: true }, () => resolve(undefined));
  });
  await new Promise((resolve) => server.close(resolve));
  if (err === undefined) return;
  if (err.code !== "EADDRINUSE")
    throw new Error(`port ${port} cannot be used for the ${use}: ${err.message}`, { cause: err });
  const owner = await listenerOn(port);
  const who = owner ? ` by ${owner.name} (process ${owner.pid})` : "";
  throw new Error(`port ${port}, wanted for the ${use}, is in use${who}; choose another with ${flag}`, { cause: err });
}
