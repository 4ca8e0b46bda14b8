// Starts the genuine containerd (Debian's package, unpacked) for a test: own root, own socket, own CNI network.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { connectCRI } from "@hawser/cri";
import { podAddresses } from "../crun/support/addresses.ts";
import { buildImageArchive, testImage } from "./image.ts";

const run = promisify(execFile);
const peer = path.resolve(import.meta.dirname, "../../.cache/peers/containerd");

/** Why containerd cannot be run here; undefined when it can. */
export async function whyNoContainerd(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "containerd needs root";
  const missing = await access(path.join(peer, "usr/bin/containerd")).then(
    () => undefined,
    () => "Debian's containerd is not unpacked (scripts/install.sh peers)",
  );
  return (
    missing ??
    (await access("/usr/lib/cni/bridge").then(
      () => undefined,
      () => "no CNI plugins",
    ))
  );
}

export interface Containerd extends AsyncDisposable {
  endpoint: string;
  pid: number;
  /** Where the test may keep its own files; removed with the rest. */
  folder: string;
  image: string;
  /** Everything below it is removed with the rest. */
  cgroupParent: string;
  log(): Promise<string>;
}

let started = 0;
/** How long it may take to end, milliseconds. */
const endTimeout = 20_000;

/** The daemon, ready, with the test image and a bridge network of its own (10.<net>.0.0/24). */
export async function startContainerd({
  ociRuntime = "runc",
  launcher = (command) => command,
  mirrors = {},
}: {
  ociRuntime?: "runc" | "crun";
  /** Turns its command line into another: inside a network namespace, for instance. */
  launcher?: (command: string[]) => string[];
  /** Where images of a registry are pulled from: `{ "docker.io": "http://127.0.0.1:5000" }`. */
  mirrors?: Record<string, string>;
} = {}): Promise<Containerd> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-containerd-"));
  const bridge = `hwt${process.pid % 100_000}n${started++}`;
  const socket = path.join(folder, "c.sock");
  await writeCNI(folder, bridge, podAddresses());
  await writeMirrors(folder, mirrors);
  await writeFile(path.join(folder, "config.toml"), configuration({ folder, socket, ociRuntime }));

  const logFile = path.join(folder, "containerd.log");
  const output = await open(logFile, "w");
  const daemonCommand = [path.join(peer, "usr/bin/containerd"), "--config", path.join(folder, "config.toml")];
  const command = launcher(ociRuntime === "crun" ? withoutHybridCgroup(daemonCommand) : daemonCommand);
  const [program = "", ...args] = command;
  const daemon = spawn(program, args, {
    stdio: ["ignore", output.fd, output.fd],
    env: { ...process.env, PATH: `${path.join(peer, "usr/bin")}:${process.env.PATH}` },
  });
  await output.close();
  const cgroupParent = `/${path.basename(folder)}`;
  const stop = () => stopContainerd({ daemon, folder, socket, bridge, cgroupParent, launcher });
  try {
    const endpoint = `unix://${socket}`;
    using cri = await connectCRI({ endpoint, timeoutMs: 30_000 });
    const archive = await buildImageArchive(folder);
    const ctr = path.join(peer, "usr/bin/ctr");
    await run(ctr, ["--address", socket, "--namespace", "k8s.io", "images", "import", archive]);
    await imageKnown(() => cri.images.imageStatus({ image: { image: testImage } }));
    return {
      endpoint,
      pid: daemon.pid ?? 0,
      folder,
      image: testImage,
      cgroupParent,
      log: () => readFile(logFile, "utf8"),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const log = await readFile(logFile, "utf8").catch(String);
    const cause = await stop().then(
      () => error,
      (late: unknown) => new SuppressedError(late, error), // it does not list its sandboxes either
    );
    throw new Error(`containerd did not come up: ${log.slice(-2000)}`, { cause });
  }
}

/** crun 1.8 refuses a machine with cgroup2 beside cgroup v1: the daemon runs in a mount namespace that has v1 alone. */
function withoutHybridCgroup(program: string[]): string[] {
  const hide = 'if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec "$@"';
  return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", hide, "sh", ...program];
}

/** The CRI plugin learns of an import by an event, a moment later. */
async function imageKnown(status: () => Promise<{ image?: unknown }>) {
  const deadline = Date.now() + 10_000;
  while (!(await status()).image) {
    if (Date.now() > deadline) throw new Error("containerd does not list the imported image");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function stopContainerd(state: {
  daemon: ChildProcess;
  folder: string;
  socket: string;
  bridge: string;
  cgroupParent: string;
  launcher: (command: string[]) => string[];
}) {
  try {
    using cri = await connectCRI({ endpoint: `unix://${state.socket}`, timeoutMs: 5000 });
    for (const { id } of (await cri.runtime.listPodSandbox({})).items) {
      await cri.runtime.stopPodSandbox({ podSandboxId: id });
      await cri.runtime.removePodSandbox({ podSandboxId: id });
    }
  } finally {
    if (state.daemon.exitCode === null && state.daemon.signalCode === null) {
      const exited = once(state.daemon, "exit");
      state.daemon.kill("SIGTERM");
      const late = setTimeout(() => state.daemon.kill("SIGKILL"), endTimeout);
      await exited.finally(() => clearTimeout(late));
    }
    await unmountBelow(state.folder);
    const [program = "", ...args] = state.launcher(["ip", "link", "delete", state.bridge]);
    await run(program, args).catch(() => undefined); // never made when no pod ran
    await removeCgroups(state.cgroupParent);
    await rm(state.folder, { recursive: true, force: true });
  }
}

async function unmountBelow(folder: string) {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const mount of mounts.filter((place) => place.startsWith(`${folder}/`)).reverse())
    await run("umount", ["-l", mount]);
}

async function writeCNI(folder: string, bridge: string, subnet: string) {
  await mkdir(path.join(folder, "cni"));
  const ipam = {
    type: "host-local",
    dataDir: path.join(folder, "ipam"),
    ranges: [[{ subnet }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const plugins = [
    { type: "bridge", bridge, isGateway: true, ipMasq: true, ipam },
    { type: "portmap", capabilities: { portMappings: true } },
  ];
  const list = { cniVersion: "1.0.0", name: bridge, plugins };
  await writeFile(path.join(folder, "cni/10-test.conflist"), JSON.stringify(list));
}

async function writeMirrors(folder: string, mirrors: Record<string, string>) {
  for (const [registry, mirror] of Object.entries(mirrors)) {
    await mkdir(path.join(folder, "certs.d", registry), { recursive: true });
    const text = `[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n`;
    await writeFile(path.join(folder, "certs.d", registry, "hosts.toml"), text);
  }
}

function configuration({ folder, socket, ociRuntime }: { folder: string; socket: string; ociRuntime: string }) {
  return `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
oom_score = 0
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${testImage}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${folder}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "${ociRuntime}"
      SystemdCgroup = false
`;
}

async function removeCgroups(parent: string) {
  const hierarchies = await readdir("/sys/fs/cgroup", { withFileTypes: true });
  const roots = hierarchies.filter((entry) => entry.isDirectory()).map(({ name }) => path.join("/sys/fs/cgroup", name));
  for (const root of [...roots, "/sys/fs/cgroup"]) {
    await run("find", [root + parent, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]).catch(() => undefined);
  }
}
