// What no pod and no container can be: refused as InvalidArgument, in words that name it, and nothing of it is left.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ContainerConfigSchema, create, type MessageInitShape, PodSandboxConfigSchema } from "@hawser/cri";
import { difference, inventory } from "../faults/support/inventory.ts";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

type SandboxInit = Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, { $typeName: string }>;
type ContainerInit = Exclude<MessageInitShape<typeof ContainerConfigSchema>, { $typeName: string }>;

const mebibyte = "x".repeat(1024 * 1024);
const metadata = { name: "pod", namespace: "default", uid: "u", attempt: 0 };
const group = (value: bigint) => ({ linux: { securityContext: { runAsUser: { value: 0n }, runAsGroup: { value } } } });

const users = (...lines: [number, number, number][]) => {
  const uids = lines.map(([containerId, hostId, length]) => ({ containerId, hostId, length }));
  return { metadata, linux: { securityContext: { namespaceOptions: { usernsOptions: { uids, gids: uids } } } } };
};

const pods: Record<string, [SandboxInit, RegExp]> = {
  "a name of 1 MiB": [{ metadata: { ...metadata, name: mebibyte } }, /metadata\.name has more than/],
  "a name of 2 KiB": [
    { metadata: { ...metadata, name: mebibyte.slice(0, 2048) } },
    /metadata\.name has more than 1024/,
  ],
  "a line's end in a name": [{ metadata: { ...metadata, name: "a\nb" } }, /metadata\.name has a control/],
  "an escape in a namespace": [{ metadata: { ...metadata, namespace: "a\x1bb" } }, /metadata\.namespace has a control/],
  "a line's end in a hostname": [{ metadata, hostname: "a\n10.0.0.1 api" }, /hostname has white space/],
  "a hostname of 65 bytes": [{ metadata, hostname: "x".repeat(65) }, /hostname has a slash or more than 64/],
  "a path for a hostname": [{ metadata, hostname: "a/b" }, /hostname has a slash/],
  "a line's end in a DNS server": [
    { metadata, dnsConfig: { servers: ["1.1.1.1\nnameserver 6.6.6.6"] } },
    /DNS servers has white space/,
  ],
  "a DNS server that is no address": [
    { metadata, dnsConfig: { servers: ["dns.example"] } },
    /no address: "dns.example"/,
  ],
  "a line's end in a DNS search": [{ metadata, dnsConfig: { searches: ["a\nnameserver 6.6.6.6"] } }, /DNS searches/],
  "white space in a DNS option": [{ metadata, dnsConfig: { options: ["ndots:5 rotate"] } }, /DNS options/],
  "101 DNS searches": [{ metadata, dnsConfig: { searches: Array(101).fill("a") } }, /more than 100/],
  "a negative host port": [{ metadata, portMappings: [{ hostPort: -1, containerPort: 80 }] }, /hostPort is -1/],
  "a port beyond all": [
    { metadata, portMappings: [{ hostPort: 80, containerPort: 70_000 }] },
    /containerPort is 70000/,
  ],
  "a host port to no port": [
    { metadata, portMappings: [{ hostPort: 31_999, containerPort: 0 }] },
    /containerPort is 0, for host port 31999/,
  ],
  "a host ip that is none": [
    { metadata, portMappings: [{ hostPort: 8080, containerPort: 80, hostIp: "localhost;reboot" }] },
    /host ip is no address/,
  ],
  "a negative group": [{ metadata, ...group(-1n) }, /run as group is -1/],
  "a negative supplemental group": [
    { metadata, linux: { securityContext: { supplementalGroups: [1n, -5n] } } },
    /supplemental group is -5/,
  ],
  "70,000 supplemental groups": [
    { metadata, linux: { securityContext: { supplementalGroups: Array(70_000).fill(1n) } } },
    /supplemental groups are more than 65536/,
  ],
  "a log directory beside the runtime's own": [{ metadata, logDirectory: "logs" }, /log directory is not absolute/],
  "a namespace mode that there is not": [
    { metadata, linux: { securityContext: { namespaceOptions: { ipc: 9 as number as 0 } } } },
    /namespace mode of ipc is 9/,
  ],
  "ids that two users have": [users([0, 100_000, 65_536], [65_536, 165_000, 100]), /mappings of uids overlap/],
  "users that two ids have": [users([0, 100_000, 65_536], [65_535, 200_000, 100]), /mappings of uids overlap/],
  "ids beyond all": [users([0, 0xffff_ff00, 0x100]), /mappings of uids overlap, or go beyond 4294967294/],
};

const device = (part: object) => ({ devices: [{ hostPath: "/dev/null", containerPath: "/dev/x", ...part }] });
const security = (part: object) => ({ linux: { securityContext: part } });
const resources = (part: object) => ({ linux: { resources: part } });
const main = { metadata: { name: "other", attempt: 0 }, image: { image } };
const containers: Record<string, [ContainerInit, RegExp]> = {
  "a NUL in the command": [{ ...main, command: ["sh", "-c", "echo a\0b"] }, /config\.command has a NUL/],
  "a NUL in an argument": [{ ...main, args: ["a\0b"] }, /config\.args has a NUL/],
  "a NUL in the working directory": [{ ...main, workingDir: "/tmp\0/x" }, /config\.workingDir has a NUL/],
  "a NUL in a variable": [{ ...main, envs: [{ key: "A", value: Buffer.from("a\0b") }] }, /variable "A" has a NUL/],
  "a variable with two names": [{ ...main, envs: [{ key: "A=B", value: Buffer.from("c") }] }, /name is "A=B"/],
  "a name of 1 MiB": [{ ...main, metadata: { name: mebibyte, attempt: 0 } }, /metadata\.name has more than/],
  "an image of 1 MiB": [{ ...main, image: { image: mebibyte } }, /config\.image\.image has more than/],
  "a negative user": [{ ...main, linux: { securityContext: { runAsUser: { value: -1n } } } }, /run as user is -1/],
  "a negative group": [{ ...main, ...group(-2n) }, /run as group is -2/],
  "a group beyond all": [{ ...main, ...group(1n << 40n) }, /run as group is 1099511627776/],
  "a negative supplemental group": [
    { ...main, linux: { securityContext: { supplementalGroups: [-5n] } } },
    /supplemental group is -5/,
  ],
  "a page size that is a path": [
    { ...main, linux: { resources: { hugepageLimits: [{ pageSize: "../../memory", limit: 1n }] } } },
    /page size is "\.\.\/\.\.\/memory"/,
  ],
  "words for cpus": [{ ...main, linux: { resources: { cpusetCpus: "all of them" } } }, /cpusetCpus is "all of them"/],
  "70,000 supplemental groups": [
    { ...main, ...security({ supplementalGroups: Array(70_000).fill(1n) }) },
    /supplemental groups are more than 65536/,
  ],
  "a mount over all": [
    { ...main, mounts: [{ hostPath: "/tmp", containerPath: "/a/../.." }] },
    /"\/a\/..\/.." is its root/,
  ],
  "a propagation that there is not": [
    { ...main, mounts: [{ hostPath: "/tmp", containerPath: "/a", propagation: 9 as number as 0 }] },
    /propagation 9 is unknown/,
  ],
  "a directory for a log": [{ ...main, logPath: "." }, /log path "\." is a directory/],
  "a directory above for a log": [{ ...main, logPath: ".." }, /log path "\.\." is a directory/],
  "a directory that is there for a log": [{ ...main, logPath: "../../bin" }, /log path "\/bin" is a directory/],
  "a log with a name of 252 bytes": [{ ...main, logPath: "x".repeat(252) }, /name of more than 251 bytes/],
  "permissions that there are not": [{ ...main, ...device({ permissions: "zzz" }) }, /permissions "zzz"/],
  "a file for a device": [{ ...main, ...device({ hostPath: "/etc/passwd" }) }, /\/etc\/passwd: is not a device/],
  "a device nowhere": [{ ...main, ...device({ containerPath: "x" }) }, /container path "x" is not absolute/],
  "a seccomp profile that there is not": [
    { ...main, ...security({ seccomp: { profileType: 9 } }) },
    /invalid seccomp profile: its type 9 is unknown/,
  ],
  "an AppArmor profile that there is not": [
    { ...main, ...security({ apparmor: { profileType: 9 } }) },
    /invalid apparmor profile: its type 9 is unknown/,
  ],
  "a namespace mode that there is not": [
    { ...main, ...security({ namespaceOptions: { pid: 9 } }) },
    /namespace mode of pid is 9/,
  ],
  "a memory limit below none": [{ ...main, ...resources({ memoryLimitInBytes: -2n }) }, /memoryLimitInBytes is -2/],
  "negative shares": [{ ...main, ...resources({ cpuShares: -1n }) }, /cpuShares is -1/],
  "a command of 1 MiB": [{ ...main, command: [mebibyte] }, /config\.command has more than/],
};

describe("input that cannot be", { timeout: 60_000 }, () => {
  let runtime: TestRuntime;
  let podSandboxId: string;
  let containerId: string;
  let baseline: string[];
  before(async () => {
    runtime = await startTestRuntime();
    ({ podSandboxId, containerId } = await startContainer(
      runtime.cri,
      {},
      sandboxConfig({ logDirectory: "/tmp/pod" }),
    ));
    baseline = await inventory(runtime.root);
  });
  after(() => runtime?.[Symbol.asyncDispose]());
  const refused = async (call: Promise<unknown>, words: RegExp) => {
    await assert.rejects(call, (error: { code?: number; message: string }) => {
      assert.deepEqual([error.code, error.message.length < 300], [3, true], error.message.slice(0, 300));
      assert.match(error.message, words);
      return true;
    });
  };

  it("is refused of a pod", async () => {
    for (const [name, [init, words]] of Object.entries(pods)) {
      const config = create(PodSandboxConfigSchema, init);
      await refused(runtime.cri.runtime.runPodSandbox({ config }), words).catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
    }
  });

  it("is refused of a container", async () => {
    for (const [name, [config, words]] of Object.entries(containers)) {
      const call = runtime.cri.runtime.createContainer({ podSandboxId, config, sandboxConfig: sandboxConfig() });
      await refused(call, words).catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
    }
  });

  it("is refused wherever a NUL stands in a pod's or container's texts", async () => {
    const pod: SandboxInit = {
      metadata: { ...metadata, name: "deep" },
      hostname: "host",
      logDirectory: "/tmp/logs",
      dnsConfig: { servers: ["1.1.1.1"], searches: ["a"], options: ["ndots:5"] },
      portMappings: [{ hostPort: 1, containerPort: 1, hostIp: "127.0.0.1" }],
      linux: { cgroupParent: "/a", sysctls: { "net.core.somaxconn": "1" } },
    };
    const container: ContainerInit = {
      ...main,
      workingDir: "/",
      logPath: "main.log",
      command: ["sleep", "1"],
      args: ["2"],
      envs: [{ key: "A", value: new Uint8Array() }],
      mounts: [{ hostPath: "/tmp/a", containerPath: "/a" }],
      devices: [{ hostPath: "/dev/null", containerPath: "/dev/x", permissions: "rwm" }],
      linux: {
        resources: { cpusetCpus: "0", cpusetMems: "0", hugepageLimits: [{ pageSize: "2MB", limit: 1n }] },
        securityContext: { runAsUsername: "root", maskedPaths: ["/proc/x"], readonlyPaths: ["/proc/y"] },
      },
    };
    const nul = (text: string) => `${text}\0`;
    let tried = 0;
    for (const init of spoiled(pod, nul)) {
      const config = create(PodSandboxConfigSchema, init);
      await refused(runtime.cri.runtime.runPodSandbox({ config }), /NUL|control character|is not allowed/);
      tried++;
    }
    for (const config of spoiled(container, nul)) {
      const call = runtime.cri.runtime.createContainer({ podSandboxId, config, sandboxConfig: sandboxConfig() });
      await refused(call, /NUL|control character/);
      tried++;
    }
    assert.ok(tried > 25, String(tried));
  });

  it("is refused of a command, and of an update", async () => {
    const cmd = ["echo", "a\0b"];
    await refused(runtime.cri.runtime.execSync({ containerId, cmd, timeout: 5n }), /command has a NUL/);
    await refused(runtime.cri.runtime.exec({ containerId, cmd, stdout: true }), /command has a NUL/);
    const linux = { cpusetCpus: "0\n1" };
    await refused(runtime.cri.runtime.updateContainerResources({ containerId, linux }), /cpusetCpus is/);
  });

  it("is not what a kernel, or containerd, takes for something that can be", async () => {
    const config = { ...main, workingDir: "/tmp/a/../../../b", ...resources({ memoryLimitInBytes: 2n ** 63n - 1n }) };
    const order = { podSandboxId, config: { ...config, command: ["sleep", "60"] }, sandboxConfig: sandboxConfig() };
    const made = await runtime.cri.runtime.createContainer(order);
    await runtime.cri.runtime.startContainer({ containerId: made.containerId });
    assert.equal((await sh(runtime.cri, made.containerId, "pwd")).stdout, "/b\n");
    await runtime.cri.runtime.removeContainer({ containerId: made.containerId });
  });

  it("leaves nothing, and keeps nobody from what can be", async () => {
    const come = difference(baseline, await inventory(runtime.root)).filter((line) => line.startsWith("+"));
    assert.deepEqual(come, []);
    assert.equal((await sh(runtime.cri, containerId, "echo well")).stdout, "well\n");
    const config = create(PodSandboxConfigSchema, { metadata, dnsConfig: { servers: ["fe80::1%eth0", "1.1.1.1"] } });
    const made = await runtime.cri.runtime.runPodSandbox({ config });
    await runtime.cri.runtime.removePodSandbox({ podSandboxId: made.podSandboxId });
  });
});

/** The value with each of its texts spoiled in turn. */
function* spoiled<T>(value: T, spoil: (text: string) => string): Generator<T> {
  if (typeof value === "string") yield spoil(value) as T;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  for (const [name, part] of Object.entries(value)) {
    for (const worse of spoiled(part, spoil)) {
      yield (Array.isArray(value) ? value.with(Number(name), worse) : { ...value, [name]: worse }) as T;
    }
  }
}
