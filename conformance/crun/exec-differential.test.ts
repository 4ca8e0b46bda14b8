// The same probe in the same containers, entered by hawser-exec and by `crun exec`: equal field by field, but for what is
// listed here with its reason.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { exitCode } from "@hawser/api";
import {
  CapabilitySchema,
  create,
  Int64ValueSchema,
  LinuxContainerSecurityContextSchema,
  type MessageInitShape,
  NamespaceMode,
  NamespaceOptionSchema,
  type PodSandboxConfig,
  SecurityProfile_ProfileType,
  SecurityProfileSchema,
} from "@hawser/cri";
import { plainProbe, probe, probeScript } from "./support/probe.ts";
import { sandboxConfig, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openExec, textOf } from "./support/session.ts";

type Security = Exclude<MessageInitShape<typeof LinuxContainerSecurityContextSchema>, { $typeName: string }>;
type Container = NonNullable<Parameters<typeof startContainer>[1]>;

const id = (value: bigint) => create(Int64ValueSchema, { value });
const namespaces = (network: NamespaceMode, pid: NamespaceMode, ipc: NamespaceMode) =>
  create(NamespaceOptionSchema, { network, pid, ipc });
const { POD, CONTAINER, NODE } = NamespaceMode;
const capabilities = (addCapabilities: string[], dropCapabilities: string[], addAmbientCapabilities: string[] = []) =>
  create(CapabilitySchema, { addCapabilities, dropCapabilities, addAmbientCapabilities });
const runtimeDefault = create(SecurityProfileSchema, { profileType: SecurityProfile_ProfileType.RuntimeDefault });

interface Case {
  security: Security;
  container?: Container;
  sandbox?: () => PodSandboxConfig;
}

const onNode = namespaces(NODE, NODE, NODE);
const shared = namespaces(POD, POD, POD);
const hostSandbox = () => sandboxConfig({ linux: { securityContext: { namespaceOptions: onNode, privileged: true } } });
const privilegedSandbox = () => sandboxConfig({ linux: { securityContext: { privileged: true } } });
const sharedSandbox = () => sandboxConfig({ linux: { securityContext: { namespaceOptions: shared } } });
const ids = [{ hostId: 1_000_000, containerId: 0, length: 65536 }];
const ofUsers = create(NamespaceOptionSchema, {
  ...{ network: POD, pid: CONTAINER, ipc: POD },
  usernsOptions: { mode: POD, uids: ids, gids: ids },
});
const usersSandbox = () => sandboxConfig({ linux: { securityContext: { namespaceOptions: ofUsers } } });
const own = { namespaceOptions: namespaces(POD, CONTAINER, POD) };

const cases: Record<string, Case> = {
  "the defaults": { security: { ...own } },
  privileged: { security: { ...own, privileged: true }, sandbox: privilegedSandbox },
  "a user with groups": {
    security: { ...own, runAsUser: id(1000n), runAsGroup: id(4712n), supplementalGroups: [5000n, 5001n] },
  },
  "capabilities added and dropped": {
    security: { ...own, capabilities: capabilities(["NET_ADMIN"], ["CHOWN", "MKNOD"]) },
  },
  "no capabilities": { security: { ...own, capabilities: capabilities([], ["ALL"]) } },
  "ambient capabilities of a user": {
    security: { ...own, runAsUser: id(1000n), capabilities: capabilities([], [], ["NET_BIND_SERVICE"]) },
  },
  "a read-only root": { security: { ...own, readonlyRootfs: true } },
  "the default seccomp profile": { security: { ...own, seccomp: runtimeDefault } },
  no_new_privs: { security: { ...own, noNewPrivs: true } },
  "seccomp and no_new_privs of a user": {
    security: { ...own, noNewPrivs: true, seccomp: runtimeDefault, runAsUser: id(1000n) },
  },
  "the node's namespaces": { security: { namespaceOptions: onNode }, sandbox: hostSandbox },
  "privileged in the node's namespaces": {
    security: { namespaceOptions: onNode, privileged: true },
    sandbox: hostSandbox,
  },
  "a user namespace": { security: { namespaceOptions: ofUsers }, sandbox: usersSandbox },
  "a user of a user namespace": {
    security: {
      ...own,
      runAsUser: id(1000n),
      seccomp: runtimeDefault,
      capabilities: capabilities([], [], ["NET_RAW"]),
    },
    sandbox: usersSandbox,
  },
  "the pod's PID namespace": { security: { namespaceOptions: shared }, sandbox: sharedSandbox },
  "a working directory and an environment": {
    security: { ...own },
    container: {
      workingDir: "/tmp/a/b",
      envs: [
        { key: "EMPTY", value: new Uint8Array() },
        { key: "TEXT", value: Buffer.from("two words\nand a line = here") },
      ],
    },
  },
  resources: {
    security: { ...own },
    container: { linux: { resources: { oomScoreAdj: 500n, memoryLimitInBytes: 256n << 20n, cpuShares: 100n } } },
  },
};

const another = "another process";
const group =
  "a process group of its own, as runc gives, so that `kill 0` ends there; crun's has the number of a process that has ended";
const session = "a session of its own, as runc gives; crun's is that of a process that has ended";
/** Not equal, and why. */
const reasons: Record<string, string> = {
  ...Object.fromEntries(
    ["status", "plain"].flatMap((section) => [
      ...["Tgid", "Pid", "NStgid", "NSpid"].map((field) => [`${section} ${field}`, another]),
      [`${section} PPid`, "0, or in the node's PID namespace another process"],
      [`${section} NSpgid`, group],
      [`${section} NSsid`, session],
    ]),
  ),
  "stat ppid": "as PPid",
  "stat pgrp": group,
  "stat session": session,
  "stat tpgid": "as pgrp",
  oom: "hawser-exec gives a command its container's; crun leaves the runtime's own",
  "cgroup 0": "each exec has a group of its own",
};

describe("hawser-exec and crun exec", { timeout: 120_000 }, () => {
  let runtime: TestRuntime;
  let folder: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "hawser-differential-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    runtime = stack.use(await startTestRuntime({ ociRuntime: "crun" }));
  });
  after(() => stack.disposeAsync());

  const run = async (containerId: string, cmd: string[], streams: { tty: boolean; stdin: boolean }) => {
    await using session = await openExec(runtime.cri, { containerId, cmd, ...streams });
    if (streams.tty) await session.resize({ width: 90, height: 30 });
    const [stdout, stderr, status] = await Promise.all([
      textOf(session.stdout),
      textOf(session.stderr),
      session.status,
      streams.tty ? undefined : session.stdin?.close(),
    ]);
    return { stdout, stderr, code: exitCode(status) };
  };

  it("show a command the same", async (t) => {
    const localhostRef = path.join(folder, "profile.json");
    const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 71 };
    await writeFile(localhostRef, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }));
    const profileType = SecurityProfile_ProfileType.Localhost;
    const seccomp = create(SecurityProfileSchema, { profileType, localhostRef });
    const all: Record<string, Case> = { ...cases, "a local seccomp profile": { security: { ...own, seccomp } } };

    const containers = new Map<string, string>();
    for (const [name, { security, container, sandbox }] of Object.entries(all)) {
      const { containerId } = await startContainer(
        runtime.cri,
        {
          ...container,
          linux: { ...container?.linux, securityContext: create(LinuxContainerSecurityContextSchema, security) },
        },
        sandbox?.(),
      );
      containers.set(name, containerId);
    }
    const variants = { pipes: { tty: false, stdin: true }, "a terminal": { tty: true, stdin: true } };
    const probes = async () => {
      const seen = new Map<string, Map<string, string>>();
      for (const [name, containerId] of containers) {
        for (const [streams, how] of Object.entries(variants)) {
          const whole = await run(containerId, ["sh", "-c", probeScript], how);
          assert.deepEqual([whole.stderr, whole.code], ["", 0], `${name}, ${streams}`);
          const plain = await run(containerId, plainProbe, { ...how, stdin: false });
          seen.set(`${name}, ${streams}`, probe(`${whole.stdout}==plain\n${plain.stdout}`));
        }
      }
      return seen;
    };
    const byHelper = await probes();
    await runtime.restart({ exec: { helper: false } });
    const byCrun = await probes();
    await runtime.restart({});

    // Each was what it says: in the node's PID namespace a command sees who has started it.
    const parent = "the node's namespaces, pipes";
    assert.equal(byHelper.get(parent)?.get("parent"), "hawser-exec");
    assert.equal(byCrun.get(parent)?.get("parent"), "crun");

    const differing = new Set<string>();
    for (const [name, crun] of byCrun) {
      const helper = byHelper.get(name);
      assert.ok(helper && crun.size > 100, `${name}: ${crun.size} fields`);
      await t.test(name, () => {
        // Each was entered as it was meant to be.
        if (name.endsWith(", pipes")) assert.notEqual(helper.get("stat session"), crun.get("stat session"));
        for (const field of new Set([...crun.keys(), ...helper.keys()])) {
          if (field === "parent" || helper.get(field) === crun.get(field)) continue;
          differing.add(field);
          assert.ok(field in reasons, `${field}: hawser-exec ${helper.get(field)}, crun ${crun.get(field)}`);
        }
      });
    }
    for (const field of ["status NSpgid", "cgroup 0", "oom"]) assert.ok(differing.has(field), field);
  });

  it("differ in oom_score_adj: hawser-exec gives the container's", async () => {
    const { containerId } = await startContainer(runtime.cri, cases.resources?.container);
    const { stdout } = await run(containerId, ["cat", "/proc/self/oom_score_adj"], { tty: false, stdin: false });
    assert.equal(stdout, "500\n");
  });

  it("say the same about what cannot be run", async () => {
    const { containerId } = await startContainer(runtime.cri, {
      workingDir: "/tmp/gone",
      linux: { securityContext: create(LinuxContainerSecurityContextSchema, { ...own, runAsUser: id(1000n) }) },
    });
    const { containerId: root } = await startContainer(runtime.cri);
    const make =
      "echo '#!/nope/x' >/tmp/no-interpreter; head -c 10 /dev/zero >/tmp/no-format; chmod 755 /tmp/no-*; mkdir -m 700 /tmp/closed; touch /tmp/closed/x; chmod 755 /tmp/closed/x";
    await run(root, ["sh", "-c", make], { tty: false, stdin: false });
    const commands = [
      ...[["no-such-thing"], ["/no/such"], ["./no-such"], ["/etc/passwd"], ["etc/passwd"], ["/etc"], [""], ["."]],
      ...[["/tmp/no-interpreter"], ["/tmp/no-format"], ["/tmp/closed/x"], ["/proc/1/exe"], ["x".repeat(5000)]],
      ["sh", "-c", "exit 255"],
      ["sh", "-c", "echo 'exec: not found' >&2; exit 1"],
      ["sh", "-c", "kill -SEGV $$"],
    ];
    const answers = async () => {
      const found: unknown[] = [];
      for (const container of [root, containerId]) {
        for (const command of commands) {
          const answer = await run(container, command, { tty: false, stdin: false }).catch((error) => String(error));
          found.push([container === root, command, answer]);
        }
      }
      return found;
    };
    const byHelper = await answers();
    await runtime.restart({ exec: { helper: false } });
    const byCrun = await answers();
    await runtime.restart({});
    assert.deepEqual(byHelper, byCrun);
  });
});
