// `hawser up`, `status`, `down` as a person has them: the program of bin/hawser.cjs, real hops, real containers.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { getPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  type CommandResult,
  checkout,
  eventually,
  freePort,
  newestKubectl,
  processes,
  type Registry,
  run,
  runKubectl,
} from "@hawser/testing";
import { clusterPaths, type Hop } from "hawser";
import { registryWithImages } from "../scripts/registry-with-images.ts";
import { mirrorConfig } from "./own-cluster.ts";
import { residue } from "./residue.ts";

const program = join(checkout, "packages/hawser/bin/hawser.cjs");

/** The nice value in a line of /proc/PID/stat: its 19th field. Source: proc_pid_stat(5) */
const niceOf = (stat: string) => Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);

describe("hawser up, status, down", () => {
  let folder: string;
  let registry: Registry;
  let config: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-cli-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    registry = stack.use(await registryWithImages());
    config = await mirrorConfig(folder, registry);
  });
  after(() => stack.disposeAsync());

  /** Runs a test with a data directory and ports of its own; takes its cluster down, and looks that nothing is left. */
  async function withPlace(name: string, test: (c: Awaited<ReturnType<typeof place>>) => Promise<void>): Promise<void> {
    const c = await place(name);
    try {
      await test(c);
    } catch (err) {
      await c.down();
      throw err;
    }
    ok(await c.down());
    assert.deepEqual(await residue(c.dataDir), []);
    assert.equal((await readdir(folder)).includes(name), false);
  }

  async function place(name: string) {
    const dataDir = join(folder, name);
    const flags = ["--data-dir", dataDir];
    const ports = ["--api-port", String(await freePort()), "--kubelet-port", String(await freePort())];
    const hawser = (...args: string[]): Promise<CommandResult> => run([process.execPath, program, ...args]);
    const kubectl = async (...args: string[]) =>
      runKubectl(await newestKubectl(), args, { kubeconfig: join(dataDir, "kubeconfig") });
    return {
      dataDir,
      ports,
      paths: clusterPaths(dataDir),
      hawser,
      kubectl,
      up: (...more: string[]) => hawser("up", ...flags, ...ports, "--runtime-config", config, ...more),
      down: (...more: string[]) => hawser("down", ...flags, ...more),
      status: () => hawser("status", ...flags),
      pid: async (hop: Hop) => Number(JSON.parse(await readFile(join(dataDir, "run", `${hop}.pid`), "utf8")).pid),
      async runPod(pod: string, ...more: string[]) {
        assert.equal((await kubectl("run", pod, "--image=nginx", ...more)).code, 0);
        const { code, stderr } = await kubectl("wait", "--for=condition=Ready", `pod/${pod}`, "--timeout=60s");
        assert.equal(code, 0, stderr);
      },
    };
  }
  const ok = ({ code, stdout, stderr }: CommandResult) => {
    assert.equal(code, 0, stderr);
    return stdout;
  };

  it("up, a pod, an exec; a second up finds the first; status; down leaves nothing", () =>
    withPlace("one", async (c) => {
      assert.match(ok(await c.up()), /cluster in \S+ is up in \d+\.\d s: node \S+ is Ready/);
      await c.runPod("web");
      assert.equal(ok(await c.kubectl("exec", "web", "--", "echo", "hello")), "hello\n");
      const stats = ok(await c.kubectl("exec", "web", "--", "cat", "/proc/1/stat", "/proc/self/stat"));
      const started = Math.max(0, getPriority());
      assert.deepEqual(stats.trim().split("\n").map(niceOf), [started, started], "whatever the runtime's own is");
      const pids = await Promise.all((["apiserver", "kubelet", "runtime"] as const).map(c.pid));
      assert.match(ok(await c.up()), /runs already/);
      assert.deepEqual(await Promise.all((["apiserver", "kubelet", "runtime"] as const).map(c.pid)), pids);
      const text = ok(await c.status());
      for (const pid of pids) assert.match(text, new RegExp(`process ${pid}\\b`));
      assert.match(text, /node +\S+ +Ready/);
    }));

  it("the hops are three processes that bear their names", () =>
    withPlace("names", async (c) => {
      ok(await c.up());
      for (const hop of ["apiserver", "kubelet", "runtime"] as const) {
        const pid = await c.pid(hop);
        const row = (await processes()).find((process) => process.pid === pid);
        assert.equal(row?.args, `hawser-${hop}`);
      }
    }));

  for (const hop of ["apiserver", "kubelet", "runtime"] as const) {
    it(`a ${hop} that was killed: status says so, up starts just that one, and the pod has not noticed`, () =>
      withPlace(`kill-${hop}`, async (c) => {
        ok(await c.up());
        await c.runPod("web");
        const before = JSON.parse(ok(await c.kubectl("get", "pod", "web", "-o", "json")));
        const pids = {
          apiserver: await c.pid("apiserver"),
          kubelet: await c.pid("kubelet"),
          runtime: await c.pid("runtime"),
        };
        process.kill(pids[hop], "SIGKILL");
        await eventually("it is gone", async () => !(await processes()).some(({ pid }) => pid === pids[hop]));
        const said = await c.status();
        assert.equal(said.code, 1);
        assert.match(said.stdout, new RegExp(`${hop} +not running`));
        assert.match(ok(await c.up()), new RegExp(`started again: ${hop}\\)`));
        for (const other of ["apiserver", "kubelet", "runtime"] as const) {
          if (other !== hop) assert.equal(await c.pid(other), pids[other]);
        }
        // A kubelet that lost its runtime tries again at most every 2 s.
        await eventually("exec works again", async () => {
          return (await c.kubectl("exec", "web", "--", "echo", "still here")).stdout === "still here\n";
        });
        const after = JSON.parse(ok(await c.kubectl("get", "pod", "web", "-o", "json")));
        assert.equal(after.status.containerStatuses[0].containerID, before.status.containerStatuses[0].containerID);
        assert.equal(after.status.containerStatuses[0].restartCount, 0);
      }));
  }

  it("down after every hop was killed: containers, mounts, namespaces, rules, cgroups go all the same", () =>
    withPlace("crash", async (c) => {
      ok(await c.up());
      await c.runPod("web");
      for (const hop of ["kubelet", "runtime", "apiserver"] as const) process.kill(await c.pid(hop), "SIGKILL");
      ok(await c.down());
      assert.deepEqual(await residue(c.dataDir), []);
      assert.match(ok(await c.down()), /there is no cluster/);
    }));

  it("up that is killed itself: the next up completes its work, and down takes all of it", () =>
    withPlace("killed-up", async (c) => {
      const first = c.up();
      const apiserver = await eventually("its API server has started", () => c.pid("apiserver").catch(() => undefined));
      const up = (await processes()).find(({ args }) => args.includes(" up ") && args.includes(c.dataDir));
      if (up) process.kill(up.pid, "SIGKILL");
      await first;
      ok(await c.up());
      assert.equal(await c.pid("apiserver"), apiserver);
    }));

  it("down --keep-data: the next up has the same objects, and starts the pods again", () =>
    withPlace("kept", async (c) => {
      ok(await c.up());
      await c.runPod("web", "--image-pull-policy=IfNotPresent");
      ok(await c.kubectl("create", "namespace", "mine"));
      const uid = ok(await c.kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.uid}"));
      assert.match(ok(await c.down("--keep-data")), /its data is kept/);
      assert.equal(
        (await processes()).some(({ args }) => args.includes(c.dataDir)),
        false,
      );
      const asked = registry.log().length;
      ok(await c.up());
      assert.equal(ok(await c.kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")), uid);
      assert.match(ok(await c.kubectl("get", "namespaces")), /^mine /m);
      const { code, stderr } = await c.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s");
      assert.equal(code, 0, stderr);
      await eventually("exec into the pod that was started again", async () => {
        return (await c.kubectl("exec", "web", "--", "echo", "again")).stdout === "again\n";
      });
      const count = "jsonpath={.status.containerStatuses[0].restartCount}";
      assert.equal(ok(await c.kubectl("get", "pod", "web", "-o", count)), "1", "restarts are counted on");
      assert.equal(registry.log().slice(asked).includes("/v2/library/nginx"), false, "images were kept too");
    }));

  it("a port in use: which one, by whom, which flag; and nothing is left behind", () =>
    withPlace("port", async (c) => {
      const server = createServer().listen(0, "0.0.0.0");
      await once(server, "listening");
      const address = server.address();
      const port = typeof address === "object" ? address?.port : 0;
      try {
        for (const [flag, use] of [
          ["--api-port", "API server"],
          ["--kubelet-port", "kubelet"],
        ] as const) {
          const { code, stderr } = await c.up(flag, String(port));
          assert.equal(code, 1);
          assert.match(
            stderr,
            new RegExp(`port ${port}, wanted for the ${use}, is in use by .+ \\(process ${process.pid}\\)`),
          );
          assert.match(stderr, new RegExp(`${flag}\n`));
        }
        assert.equal((await readdir(folder)).includes("port"), false);
      } finally {
        server.close();
      }
    }));

  it("two clusters side by side do not see each other", async () => {
    await withPlace("left", (a) => withPlace("right", (b) => sideBySide(a, b)));
  });
  type Place = Awaited<ReturnType<typeof place>>;
  async function sideBySide(a: Place, b: Place): Promise<void> {
    ok(await a.up("--node-name", "left"));
    ok(await b.up("--node-name", "right"));
    await Promise.all([a.runPod("web"), b.runPod("web")]);
    assert.equal(ok(await a.kubectl("exec", "web", "--", "cat", "/etc/hostname")), "web\n");
    assert.match(ok(await a.kubectl("get", "nodes")), /^left /m);
    assert.doesNotMatch(ok(await b.kubectl("get", "nodes")), /left/);
    ok(await a.down());
    assert.equal(ok(await b.kubectl("exec", "web", "--", "echo", "b lives")), "b lives\n");
  }

  it("--merge puts the cluster into the user's kubeconfig, down takes it out again", () =>
    withPlace("merged", async (c) => {
      const home = join(folder, "home");
      const target = join(home, "config");
      const env = { HOME: home, KUBECONFIG: target };
      await rm(home, { recursive: true, force: true });
      const { code, stderr } = await run(
        [process.execPath, program, "up", "--data-dir", c.dataDir, ...c.ports, "--merge"],
        { env },
      );
      assert.equal(code, 0, stderr);
      const kubectl = await newestKubectl();
      const { stdout } = await run([kubectl.path, "config", "current-context"], { env });
      assert.equal(stdout, "hawser\n");
      assert.match((await run([kubectl.path, "get", "nodes"], { env })).stdout, / Ready /);
      ok(await c.down());
      assert.doesNotMatch(await readFile(target, "utf8"), /name: hawser/);
    }));

  it("what cannot be: one line that says what to do, and exit code 1", async () => {
    const hawser = (...args: string[]) => run([process.execPath, program, ...args]);
    const full = join(folder, "full");
    const ports = ["--api-port", String(await freePort()), "--kubelet-port", String(await freePort())];
    await writeFile(join(folder, "file"), "");
    for (const [args, want] of [
      [["up", "--api-port", "99999"], /--api-port must be a port, 1 to 65535, not "99999"/],
      [["up", "--oci-runtime", "docker"], /--oci-runtime must be crun or runc/],
      [["up", "--nonsense"], /--nonsense/],
      [["up", "--data-dir", folder], /is not empty and holds no cluster/],
      [["up", "--data-dir", join(folder, "file", "x")], /file/],
      [["up", "--data-dir", full, ...ports, "--runtime-endpoint", "unix:///nowhere/x.sock"], /nowhere/],
    ] as const) {
      const { code, stdout, stderr } = await hawser(...args);
      assert.equal(code, 1, args.join(" "));
      assert.equal(stdout, "");
      assert.match(stderr, want);
      assert.doesNotMatch(stderr, /^ +at /m, "no stack");
    }
    assert.deepEqual(await residue(full), []);
  });
});
