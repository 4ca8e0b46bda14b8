// `hawser logs` beside the newest kubectl: the same lines, from the same pods, whatever is asked for; each line once.
import assert from "node:assert/strict";
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import type { Container, Pod, PodSpec } from "@hawser/api";
import { connectCRI } from "@hawser/cri";
import { checkout, eventually, type Kubectl, newestKubectl, run } from "@hawser/testing";
import { testImage } from "../containerd/image.ts";
import type { Target } from "../interop/target.ts";

const kubectl: Kubectl = await newestKubectl();
const hawser = join(checkout, "packages/hawser/bin/hawser.cjs");
const clients: Record<string, string[]> = { kubectl: [kubectl.path], hawser: [process.execPath, hawser] };

/** `whole` tries every option; the options are the kubelet's work, whatever the runtime. */
export function logsSuite(give: () => Target, { whole }: { whole: boolean }): void {
  describe("logs", () => {
    let target: Target;
    before(async () => {
      target = give();
      if (!whole) return;
      const restarting =
        "n=$(cat /data/n 2>/dev/null || echo 0); echo $((n+1)) > /data/n; seq $((n*10+1)) $((n*10+5)); [ $n = 0 ] && exit 1; exec sleep infinity";
      await create("restarting", [shell("a", restarting, ["data"])]);
      for (const name of ["one", "two"]) {
        const script = (container: string) =>
          `for i in 1 2 3; do echo ${name} ${container} $i; echo wrong $i >&2; done; exec sleep infinity`;
        const containers = ["a", "b"].map((container) => shell(container, script(container)));
        await create(name, containers, { initContainers: [shell("first", `echo ${name} begins`)] });
      }
      await running("one", "two", "restarting");
      await eventually("a restart", async () => {
        return (await pod("restarting")).status?.containerStatuses?.[0]?.restartCount === 1;
      });
    });

    const pods = { resource: "pods", namespace: "default" };
    const pod = (name: string) => target.cluster.client.get<Pod>({ ...pods, name });

    function shell(name: string, script: string, volumes: string[] = []): Container {
      const volumeMounts = volumes.map((volume) => ({ name: volume, mountPath: `/${volume}` }));
      return { name, image: testImage, imagePullPolicy: "IfNotPresent", command: ["sh", "-c", script], volumeMounts };
    }
    async function create(name: string, containers: Container[], more: Partial<PodSpec> = {}): Promise<void> {
      const spec = { containers, volumes: [{ name: "data", emptyDir: {} }], terminationGracePeriodSeconds: 0, ...more };
      await target.cluster.client.create<Pod>(pods, { metadata: { name, labels: { app: "numbered" } }, spec });
    }
    async function running(...names: string[]): Promise<void> {
      for (const name of names) {
        await eventually(`${name} runs`, async () => (await pod(name)).status?.phase === "Running", {
          timeoutMs: 30_000,
        });
      }
    }
    async function logs(client: string, args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
      const env = { KUBECONFIG: target.cluster.kubeconfig, HOME: target.cluster.dataDir };
      return await run([...(clients[client] ?? []), "logs", ...args], { env, timeoutMs: 30_000 });
    }

    const since = new Date(Date.now() - 3_600_000).toISOString();
    const cases: string[][] = [
      ["one"],
      ["counted"],
      ["one", "-c", "b", "--timestamps"],
      ["counted", "--tail=7"],
      ["counted", "--tail=0"],
      ["counted", "--limit-bytes=100"],
      ["counted", "--tail=100", "--limit-bytes=23"],
      ["one", "-c", "first"],
      ["counted", "--since=1h", "--tail=3"],
      ["counted", `--since-time=${since}`, "--tail=3", "--timestamps"],
      ["counted", "--since-time=2100-01-01T00:00:00Z"],
      ["one", "--all-containers"],
      ["one", "--all-containers", "--prefix", "--timestamps"],
      ["-l", "app=numbered", "--all-containers", "--prefix", "--tail=-1"],
      ["-l", "app=numbered", "-c", "a", "--tail=1", "--prefix"],
      ["restarting"],
      ["restarting", "--previous", "--tail=2"],
      ["one", "--previous", "-c", "a"],
      ["one", "-c", "none"],
      ["none"],
      ["-l", "app=numbered", "-f", "--all-containers", "--max-log-requests=2"],
    ];
    for (const args of whole ? cases : []) {
      it(args.join(" "), async () => {
        const [theirs, ours] = await Promise.all([logs("kubectl", args), logs("hawser", args)]);
        assert.deepEqual(ours.stdout.split("\n").sort(), theirs.stdout.split("\n").sort());
        assert.deepEqual([ours.code, ours.stderr], [theirs.code, theirs.stderr]);
      });
    }

    it("-f across rotations: every line once, in order", async () => {
      const [rounds, each] = [40, 500];
      const script = `i=0; while [ $i -lt ${rounds} ]; do seq $((i*${each}+1)) $((i*${each}+${each})); i=$((i+1)); sleep 0.05; done`;
      await create("rotated", [shell("a", script)], { restartPolicy: "Never" });
      await eventually("it has begun", async () =>
        (await logs("hawser", ["rotated"]).catch(() => undefined))?.stdout.includes("\n"),
      );
      const followed = Promise.all(Object.keys(clients).map((client) => logs(client, ["-f", "rotated"])));
      for (let rotation = 0; rotation < 4; rotation++) await rotate(target, "rotated", rotation);
      const want = Array.from({ length: rounds * each }, (_, index) => `${index + 1}\n`).join("");
      for (const { code, stdout, stderr } of await followed) {
        assert.equal(code, 0, stderr);
        assert.ok(stdout === want, `${stdout.length} of ${want.length} bytes`);
      }
      const whole = await logs("hawser", ["rotated"]);
      assert.ok(whole.stdout === want, "and afterwards, the rotated files too");
    });

    it("-f of several pods and containers at once: the lines whole, and each once", async () => {
      const names = ["many-1", "many-2"];
      for (const name of names) {
        const say = (container: string) =>
          shell(
            container,
            `i=0; while [ $i -lt 20 ]; do for k in 1 2 3 4 5; do echo "${name} ${container} $i $k"; done; i=$((i+1)); sleep 0.05; done`,
          );
        const spec = {
          containers: ["a", "b", "c"].map(say),
          restartPolicy: "Never" as const,
          terminationGracePeriodSeconds: 0,
        };
        await target.cluster.client.create<Pod>(pods, { metadata: { name, labels: { app: "many" } }, spec });
      }
      await eventually("they have begun", async () => {
        const found = await Promise.all(names.map(pod));
        return found.every(({ status }) => status?.phase === "Running" || status?.phase === "Succeeded");
      });
      const args = ["-f", "-l", "app=many", "--all-containers", "--prefix", "--max-log-requests=6", "--tail=-1"];
      const [theirs, ours] = await Promise.all([logs("kubectl", args), logs("hawser", args)]);
      const lines = ours.stdout.trimEnd().split("\n");
      assert.equal(lines.length, 600);
      assert.equal(new Set(lines).size, 600);
      for (const line of lines) assert.match(line, /^\[pod\/(many-\d)\/([abc])\] \1 \2 \d+ \d$/);
      assert.deepEqual(lines.sort(), theirs.stdout.trimEnd().split("\n").sort());
      assert.deepEqual([ours.code, theirs.code], [0, 0]);
    });

    it("-f of a container that restarts ends with the instance it began with, as kubectl's", async () => {
      const script =
        "n=$(cat /data/n 2>/dev/null || echo 0); echo $((n+1)) > /data/n; echo instance $n; sleep 2; echo end $n; exit 1";
      await create("again", [shell("a", script, ["data"])]);
      await eventually("it has begun", async () => (await pod("again")).status?.phase === "Running");
      const [theirs, ours] = await Promise.all([logs("kubectl", ["-f", "again"]), logs("hawser", ["-f", "again"])]);
      assert.deepEqual([theirs.code, theirs.stdout], [0, "instance 0\nend 0\n"]);
      assert.deepEqual([ours.code, ours.stdout], [0, "instance 0\nend 0\n"]);
      await eventually(
        "the next instance",
        async () => (await pod("again")).status?.containerStatuses?.[0]?.restartCount === 1,
      );
      const [before, now] = [await logs("hawser", ["-p", "again"]), await logs("hawser", ["again"])];
      assert.equal(before.stdout, "instance 0\nend 0\n");
      assert.match(now.stdout, /^instance 1\n/);
    });
  });
}

/** What the kubelet does when a log is too large; the runtime's own part in it is the genuine one. */
async function rotate(target: Target, pod: string, count: number): Promise<void> {
  using cri = await connectCRI({ endpoint: target.endpoint });
  const { containers } = await cri.runtime.listContainers({
    filter: { labelSelector: { "io.kubernetes.pod.name": pod } },
  });
  const containerId = containers[0]?.id;
  if (!containerId) throw new Error(`no container of ${pod}`);
  const { status } = await cri.runtime.containerStatus({ containerId });
  if (!status) throw new Error("no status");
  await rename(status.logPath, `${status.logPath}.2026010${count + 1}-000000`);
  await cri.runtime.reopenContainerLog({ containerId });
  // The next rotation comes some lines later.
  await eventually("lines in the new log", async () => (await stat(status.logPath)).size > 0);
}
