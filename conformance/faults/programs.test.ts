// The programs that a runtime stands on fail, die, hang or lie, each at each of its commands: a clear error, nothing left,
// and the same call works afterwards. Needs root, crun, conmon and the CNI plugins.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { ContainerState, type CRIConnection } from "@hawser/cri";
import {
  bystander,
  create,
  created,
  nothing,
  pod,
  remove,
  running,
  type Subject,
  sandboxOf,
  useAndRemove,
} from "./support/calls.ts";
import { settledInventory, settlesAt } from "./support/inventory.ts";
import { thorough } from "./support/length.ts";
import { type Fault, faultyPrograms, type Programs } from "./support/programs.ts";
import { type FaultyRuntime, startFaulty } from "./support/runtime-process.ts";

/** Seconds: far more than any of these commands takes. */
const patience = 3;
/** For one case, milliseconds: one that hangs is named, and the others are tried. */
const timeout = 240_000;

interface Case {
  call: string;
  program: string;
  command: string;
  fault: Fault;
  message: RegExp;
}

const of = (call: string, program: string, command: string, faults: Partial<Record<Fault, RegExp>>): Case[] =>
  Object.entries(faults).map(([fault, message]) => ({ call, program, command, fault: fault as Fault, message }));

const late = /no answer within 3 s/;
const cases: Case[] = [
  ...of("RunPodSandbox", "crun", "run", {
    fail: /crun run: exit status 1/,
    after: /exit status 1/,
    hang: late,
    die: /137/,
  }),
  ...of("RunPodSandbox", "bridge", "ADD", {
    fail: /bridge, ADD: made to fail/,
    after: /bridge/,
    hang: late,
    die: /137/,
  }),
  ...of("RunPodSandbox", "bridge", "ADD", { garbage: /bridge, ADD/ }),
  ...of("RunPodSandbox", "loopback", "ADD", { fail: /loopback, ADD: made to fail/ }),
  ...of("RunPodSandbox", "portmap", "ADD", { fail: /portmap, ADD: made to fail/, after: /portmap/ }),
  ...of("CreateContainer", "crun", "create", {
    fail: /made to fail|status/,
    after: /status|conmon|no answer/,
    hang: late,
    die: /./,
  }),
  ...of("CreateContainer", "conmon", "any", { fail: /conmon/, hang: late, die: /conmon ended/ }),
  ...of("StartContainer", "crun", "start", { fail: /exit status 1/, after: /exit status 1/, hang: late, die: /137/ }),
  ...of("StopPodSandbox", "crun", "delete", { fail: /exit status 1/, after: /exit status 1/, hang: late }),
  ...of("StopPodSandbox", "bridge", "DEL", { fail: /bridge, DEL: made to fail/, after: /bridge/, hang: late }),
  ...of("StopPodSandbox", "portmap", "DEL", { fail: /portmap, DEL: made to fail/ }),
  ...of("RemoveContainer", "crun", "delete", { fail: /exit status 1/, hang: late }),
  ...of("RemovePodSandbox", "crun", "delete", { fail: /exit status 1/ }),
  ...of("ExecSync", "crun", "exec", { fail: /./, die: /./, hang: /timed out/ }),
  ...of("UpdateContainerResources", "crun", "update", { fail: /exit status 1/, hang: late }),
];
/** Those of the short form. */
const short = new Set([
  "RunPodSandbox crun run after",
  "RunPodSandbox bridge ADD die",
  "RunPodSandbox portmap ADD fail",
  "CreateContainer crun create hang",
  "CreateContainer conmon any die",
  "StartContainer crun start after",
  "StopPodSandbox bridge DEL fail",
  "RemoveContainer crun delete fail",
]);
const nameOf = ({ call, program, command, fault }: Case) => `${call} ${program} ${command} ${fault}`;

const calls: Record<
  string,
  { prepare(cri: CRIConnection): Promise<Subject>; call(cri: CRIConnection, s: Subject): Promise<unknown> }
> = {
  RunPodSandbox: { prepare: nothing, call: (cri, { config }) => cri.runtime.runPodSandbox({ config }) },
  CreateContainer: { prepare: pod, call: create },
  StartContainer: { prepare: created, call: (cri, { containerId }) => cri.runtime.startContainer({ containerId }) },
  StopPodSandbox: { prepare: pod, call: (cri, { podSandboxId }) => cri.runtime.stopPodSandbox({ podSandboxId }) },
  RemoveContainer: { prepare: running, call: (cri, { containerId }) => cri.runtime.removeContainer({ containerId }) },
  RemovePodSandbox: { prepare: pod, call: (cri, { podSandboxId }) => cri.runtime.removePodSandbox({ podSandboxId }) },
  ExecSync: {
    prepare: running,
    async call(cri, { containerId }) {
      const answer = await cri.runtime.execSync({ containerId, cmd: ["true"], timeout: 1n });
      if (answer.exitCode !== 0) throw new Error(`exit code ${answer.exitCode}`);
    },
  },
  UpdateContainerResources: {
    prepare: running,
    call: (cri, { containerId }) => cri.runtime.updateContainerResources({ containerId, linux: { cpuShares: 100n } }),
  },
};

describe("a program that a runtime stands on", { timeout: 600_000 }, () => {
  let programs: Programs;
  let runtime: FaultyRuntime;
  let other: Awaited<ReturnType<typeof bystander>>;
  const stack = new AsyncDisposableStack();
  before(async () => {
    programs = stack.use(await faultyPrograms());
    const config = {
      cniBinDir: programs.cni,
      ociTimeoutSeconds: patience,
      cniTimeoutSeconds: patience,
      exec: { helper: false },
    };
    runtime = stack.use(await startFaulty({ programs: programs.bin, config }));
    other = await bystander(runtime.cri);
  });
  afterEach(() => programs.mend());
  after(() => stack.disposeAsync());

  const isClean = (baseline: string[]) => settlesAt(runtime.root, baseline);

  for (const one of cases.filter((candidate) => thorough || short.has(nameOf(candidate)))) {
    it(nameOf(one), { timeout }, async () => {
      const { cri } = runtime;
      const { prepare, call } = calls[one.call] ?? {};
      assert.ok(prepare && call);
      const empty = await settledInventory(runtime.root);
      const subject = await prepare(cri);
      const prepared = await settledInventory(runtime.root);
      await programs.spoil(one.program, one.command, one.fault);
      await assert.rejects(call(cri, subject), { message: one.message });
      if (one.call === "CreateContainer" || one.call === "RunPodSandbox" || one.call === "ExecSync")
        await isClean(prepared);
      await programs.mend();
      await other.stands(cri);
      await again(cri, one.call, subject);
      await isClean(empty);
    });
  }

  const atWork = [
    ["RunPodSandbox", "crun", "run"],
    ["RunPodSandbox", "bridge", "ADD"],
    ["CreateContainer", "crun", "create"],
  ] as const;
  for (const [name, program, command] of thorough ? atWork : atWork.slice(1)) {
    it(`${name}: the runtime is killed while ${program} is at it: the next one ends that first`, {
      timeout,
    }, async () => {
      const { prepare, call } = calls[name] ?? {};
      assert.ok(prepare && call);
      const empty = await settledInventory(runtime.root);
      const subject = await prepare(runtime.cri);
      const prepared = await settledInventory(runtime.root);
      await programs.spoil(program, command, "hang");
      const failed = call(runtime.cri, subject).catch(() => undefined);
      await programs.hangs();
      await runtime.kill();
      await failed;
      await programs.mend();
      await runtime.start();
      await isClean(prepared);
      await other.stands(runtime.cri);
      await again(runtime.cri, name, subject);
      await isClean(empty);
    });
  }

  /** The same call once more, or what follows it, until nothing is left. */
  const again = async (cri: CRIConnection, call: string, subject: Subject) => {
    const { podSandboxId, containerId } = subject;
    if (call === "RunPodSandbox") return await useAndRemove(cri, await sandboxOf(cri, subject.config));
    if (call === "CreateContainer") return await useAndRemove(cri, subject);
    if (call === "StartContainer") {
      const { status } = await cri.runtime.containerStatus({ containerId });
      assert.deepEqual([status?.state, status?.reason], [ContainerState.CONTAINER_EXITED, "StartError"]);
      assert.equal(status?.exitCode, 128);
      await cri.runtime.removeContainer({ containerId });
      return await useAndRemove(cri, { ...subject, containerId: "" });
    }
    if (call === "StopPodSandbox" || call === "RemovePodSandbox") return await remove(cri, subject);
    await calls[call]?.call(cri, subject);
    await remove(cri, { ...subject, podSandboxId });
  };
});
