import type { Subject } from "../subject.ts";
import { containerConfig, sandboxConfig, settingsImage } from "../world.ts";

/** On a busy machine the first process may be the OCI runtime's own still when the container has started. */
const begun =
  "n=0; while grep -qa '^[^ ]*\\(runc\\|crun\\)' /proc/1/cmdline && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.05; done";
const dump = [
  "id -u; id -g; id -G",
  "pwd",
  "env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort",
  "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status",
  "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
  "cat /proc/1/cmdline | tr '\\0' ' '; echo",
  "umask",
  "ls /dev | tr '\\n' ' '; echo",
  "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf",
  "cat /proc/1/oom_score_adj /proc/1/limits",
  "tty; stat -c '%a %u:%g' /dev/stdin /dev/stdout /dev/stderr /tmp /etc/resolv.conf",
  "cat /proc/mounts",
].join("; echo --; ");

interface Case {
  image?: string;
  config?: object;
  /** Modes of the sandbox' namespaces. */
  sandbox?: { network?: number; pid?: number; ipc?: number };
}
const security = (securityContext: object) => ({
  linux: { securityContext: { namespaceOptions: { pid: 1 }, ...securityContext } },
});
const masked = ["/proc/kcore", "/proc/keys", "/sys/firmware", "/no/such/path"];
const readonly = ["/proc/sys", "/proc/bus", "/no/such/path"];

/** Containers that differ in one thing: what the process inside sees is compared line by line. */
const cases: Record<string, Case> = {
  plain: { config: security({}) },
  "its own user": { config: security({ runAsUser: { value: 1000n } }) },
  "a user by name": { config: security({ runAsUsername: "web" }) },
  "a user nobody knows": { config: security({ runAsUser: { value: 4711n }, runAsGroup: { value: 4712n } }) },
  "further groups": { config: security({ runAsUser: { value: 1000n }, supplementalGroups: [5000n, 5001n] }) },
  "a capability more": { config: security({ capabilities: { addCapabilities: ["NET_ADMIN", "CAP_SYS_TIME"] } }) },
  "a capability less": { config: security({ capabilities: { dropCapabilities: ["chown", "CAP_KILL"] } }) },
  "every capability, and none": {
    config: security({ capabilities: { addCapabilities: ["ALL", "CHOWN"], dropCapabilities: ["ALL"] } }),
  },
  "no capability": { config: security({ capabilities: { dropCapabilities: ["ALL"] } }) },
  "one capability": { config: security({ capabilities: { addCapabilities: ["CHOWN"], dropCapabilities: ["ALL"] } }) },
  "added and dropped": {
    config: security({ capabilities: { addCapabilities: ["CHOWN"], dropCapabilities: ["CHOWN"] } }),
  },
  "capabilities of another user": {
    config: security({ runAsUser: { value: 1000n }, capabilities: { addCapabilities: ["NET_ADMIN"] } }),
  },
  "ambient capabilities": {
    config: security({ runAsUser: { value: 1000n }, capabilities: { addAmbientCapabilities: ["NET_BIND_SERVICE"] } }),
  },
  "no new privileges": { config: security({ noNewPrivs: true }) },
  "the default profile": { config: security({ seccompProfilePath: "runtime/default" }) },
  "the default profile, told anew": { config: security({ seccomp: { profileType: 0 } }) },
  "no profile": { config: security({ seccompProfilePath: "unconfined" }) },
  "a root that is read only": { config: security({ readonlyRootfs: true }) },
  "masked and read-only paths": { config: security({ maskedPaths: masked, readonlyPaths: readonly }) },
  "a directory that is not there": { config: { ...security({}), workingDir: "/not/there/yet" } },
  environment: {
    config: {
      ...security({}),
      envs: [
        { key: "A", value: Buffer.from("1=2 3") },
        { key: "PATH", value: Buffer.from("/bin:/usr/bin") },
      ],
    },
  },
  "the image's settings": { image: settingsImage, config: { command: [], ...security({}) } },
  "the image's entrypoint with other arguments": {
    image: settingsImage,
    config: { command: [], args: ["sleep", "1001"], ...security({}) },
  },
  "another command than the image's": { image: settingsImage, config: security({}) },
  "another user than the image's": { image: settingsImage, config: security({ runAsUser: { value: 0n } }) },
  "a volume": { config: { ...security({}), mounts: [{ containerPath: "/volume", hostPath: "/usr" }] } },
  "a volume that is read only": {
    config: { ...security({}), mounts: [{ containerPath: "/volume", hostPath: "/usr", readonly: true }] },
  },
  "a volume in place of a file of the pod": {
    config: { ...security({}), mounts: [{ containerPath: "/etc/hosts", hostPath: "/etc/hostname" }] },
  },
  "a device": {
    config: { ...security({}), devices: [{ containerPath: "/dev/mine", hostPath: "/dev/fuse", permissions: "rw" }] },
  },
  limits: {
    config: {
      linux: {
        resources: {
          ...{ cpuShares: 512n, memoryLimitInBytes: 64n << 20n, oomScoreAdj: 700n },
          hugepageLimits: ["2MB", "1GB"].map((pageSize) => ({ pageSize, limit: 0n })), // as kubelets have it
        },
        securityContext: { namespaceOptions: { pid: 1 } },
      },
    },
  },
  "a terminal": { config: { ...security({}), tty: true, stdin: true } },
  "the node's processes": {
    config: { linux: { securityContext: { namespaceOptions: { pid: 2 } } } },
    sandbox: { pid: 2 },
  },
  "the node's network": {
    config: { linux: { securityContext: { namespaceOptions: { network: 2, pid: 1 } } } },
    sandbox: { network: 2 },
  },
  "the node's IPC": {
    config: { linux: { securityContext: { namespaceOptions: { ipc: 2, pid: 1 } } } },
    sandbox: { ipc: 2 },
  },
};

export async function lookInside(subject: Subject): Promise<void> {
  const { call, note } = subject;
  for (const [name, { image, config = {}, sandbox }] of Object.entries(cases)) {
    const linux = { securityContext: { namespaceOptions: sandbox } };
    const pod = sandboxConfig(subject, `in-${name}`.replaceAll(/\W/g, "-"), {
      hostname: sandbox?.network === undefined ? "inside" : "", // as the kubelet has it
      ...(sandbox && { linux }),
    });
    const made = await call(`${name}: pod`, "RunPodSandbox", { config: pod }, { pick: () => "" });
    if (!made) continue;
    const { podSandboxId } = made;
    const request = {
      podSandboxId,
      config: containerConfig("c", { ...(image && { image: { image } }), ...config }),
      sandboxConfig: pod,
    };
    const created = await call(`${name}: container`, "CreateContainer", request, { pick: () => "" });
    const container = { containerId: created?.containerId ?? "" };
    if (created && (await call(`${name}: start`, "StartContainer", container))) {
      const seen = await call(
        `${name}: look`,
        "ExecSync",
        { ...container, cmd: ["sh", "-c", `${begun}; ${dump}`], timeout: 30n },
        { pick: ({ exitCode, stderr }) => ({ exitCode, stderr }) },
      );
      const [...parts] = Buffer.from(seen?.stdout ?? "", "base64")
        .toString()
        .split("\n--\n");
      const names = [
        "ids",
        "directory",
        "environment",
        "first process",
        "exec",
        "command",
        "umask",
        "devices",
        "network files",
        "limits",
        "files",
        "mounts",
      ];
      note(
        `${name}: inside`,
        Object.fromEntries(names.map((part, index) => [part, linesOf(part, parts[index] ?? "")])),
      );
    }
    await call(`${name}: removed`, "RemovePodSandbox", { podSandboxId });
  }
}

/** Lines by what they are about, so that a difference is told line by line. */
function linesOf(part: string, text: string) {
  const lines = text.split("\n").filter(Boolean);
  if (part === "mounts") return Object.fromEntries(lines.map(mountOf));
  if (part === "limits") return Object.fromEntries(lines.map(limitOf));
  if (part !== "environment" && part !== "first process" && part !== "exec") return lines;
  return Object.fromEntries(lines.map((line) => /^([^=:]*)[=:]\s*(.*)$/.exec(line)?.slice(1) ?? [line, ""]));
}

/** A line of /proc/PID/limits; the first is of oom_score_adj. */
function limitOf(line: string): [string, string] {
  const [, name = "", values = ""] = /^(\D{1,26}?) {2,}(.*)$/.exec(line) ?? [];
  return name ? [name, values.split(/ +/).slice(0, 2).join(" ")] : ["oom_score_adj", line];
}

/** A line of /proc/mounts: the place, and the type with its options, without an overlay's directories. */
function mountOf(line: string): [string, string] {
  const [, place = "", type = "", options = ""] = line.split(" ");
  const known = options.split(",").filter((option) => !/^(lowerdir|upperdir|workdir|index|xino|uuid)=/.test(option));
  return [place, `${type} ${known.toSorted().join(" ")}`];
}
