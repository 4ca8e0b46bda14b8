// Our kubelet and our API server over the genuine containerd: pods through their lives, as the API and kubectl show them.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Container, Pod, PodSpec, PodStatus } from "@hawser/api";
import { background, eventually, kubectls, must, newestKubectl, run } from "@hawser/testing";
import { type ContainerdCluster, startContainerdCluster } from "./cluster.ts";
import { whyNoContainerd } from "./containerd.ts";

const skip = (await whyNoContainerd()) ?? false;

describe("pods over containerd", { skip }, () => {
  let cluster: ContainerdCluster;
  let kubectl: (...args: string[]) => string[];

  before(async () => {
    cluster = await startContainerdCluster({ containerLogMaxSize: 100_000 });
    const { path: program } = await newestKubectl();
    kubectl = (...args) => [program, "--kubeconfig", cluster.kubeconfig, ...args];
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  function container(script: string, more: Partial<Container> = {}): Container {
    const { image } = cluster.containerd;
    return { name: "c", image, imagePullPolicy: "IfNotPresent", command: ["sh", "-c", script], ...more };
  }
  async function create(name: string, spec: Partial<PodSpec> & { containers: Container[] }): Promise<void> {
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { terminationGracePeriodSeconds: 1, ...spec },
    };
    await cluster.client.create<Pod>({ resource: "pods", namespace: "default" }, pod);
  }
  async function statusOf(name: string): Promise<PodStatus> {
    return (await cluster.client.get<Pod>({ resource: "pods", namespace: "default", name })).status ?? {};
  }
  function until(
    name: string,
    what: string,
    condition: (status: PodStatus) => boolean | undefined,
  ): Promise<PodStatus> {
    return eventually(`${name}: ${what}`, async () => {
      const status = await statusOf(name);
      return condition(status) ? status : undefined;
    });
  }
  const running = (name: string) => until(name, "Running", ({ phase }) => phase === "Running");
  const logs = async (name: string, ...more: string[]) => must(kubectl("logs", name, ...more));
  const exec = (name: string, ...command: string[]) => run(kubectl("exec", name, "--", ...command));

  test("a pod runs; exec, its exit codes and its streams; logs", async () => {
    await create("web", { containers: [container("echo hello; sleep 1000")] });
    const status = await running("web");
    assert.match(status.podIP ?? "", /^10\./);
    assert.match(status.containerStatuses?.[0]?.containerID ?? "", /^containerd:\/\/[0-9a-f]{64}$/);
    assert.equal(await logs("web"), "hello\n");
    const { code, stdout, stderr } = await exec("web", "sh", "-c", "cat; echo no >&2; hostname; exit 7");
    assert.deepEqual([code, stdout, stderr.split("\n")[0]], [7, "web\n", "no"]);
    const piped = await run(kubectl("exec", "-i", "web", "--", "wc", "-c"), { input: "x".repeat(1_000_000) });
    assert.equal(piped.stdout.trim(), "1000000");
  });

  test("every kubectl there is can exec", async () => {
    await running("web");
    for (const { version, path: program } of await kubectls()) {
      const command = [
        program,
        "--kubeconfig",
        cluster.kubeconfig,
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "echo out; exit 3",
      ];
      const { code, stdout } = await run(command);
      assert.deepEqual([code, stdout], [3, "out\n"], `kubectl ${version}`);
    }
  });

  test("init containers, shared volumes, environment, user and read-only root", async () => {
    const volumeMounts = [
      { name: "shared", mountPath: "/shared" },
      { name: "quick", mountPath: "/quick" },
    ];
    await create("whole", {
      initContainers: [
        container("echo from init > /shared/f", { name: "init", volumeMounts: volumeMounts.slice(0, 1) }),
      ],
      containers: [
        container(
          "cat /shared/f; echo $NAME $IP $BOTH; id -u; id -g; id -G; touch /x; touch /quick/y && echo wrote; sleep 1000",
          {
            volumeMounts,
            env: [
              { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
              { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
              { name: "BOTH", value: "$(NAME)!" },
            ],
            securityContext: { readOnlyRootFilesystem: true },
          },
        ),
      ],
      volumes: [
        { name: "shared", emptyDir: {} },
        { name: "quick", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      ],
      securityContext: { runAsUser: 1000, runAsGroup: 1001, fsGroup: 2000 },
    });
    const { podIP, initContainerStatuses } = await running("whole");
    assert.equal(initContainerStatuses?.[0]?.state?.terminated?.reason, "Completed");
    const text = await eventually("its output", async () => {
      const found = await logs("whole");
      return found.includes("wrote") && found.includes("touch: ") && found;
    });
    const lines = text.split("\n").filter((line) => !line.startsWith("touch: ")); // stderr, in no order with stdout
    assert.deepEqual(lines.slice(0, 4), ["from init", `whole ${podIP} whole!`, "1000", "1001"]);
    assert.deepEqual(lines[4]?.split(" ").sort(), ["1001", "2000"]);
    assert.match(text, /touch: .*Read-only file system/);
  });

  test("Succeeded and Failed, with exit codes, reasons and messages", async () => {
    await create("good", { restartPolicy: "Never", containers: [container("echo done > /dev/termination-log")] });
    await create("bad", {
      restartPolicy: "Never",
      containers: [container("echo oops >&2; exit 42", { terminationMessagePolicy: "FallbackToLogsOnError" })],
    });
    await create("none", { restartPolicy: "Never", containers: [container("", { command: ["/no/such/program"] })] });
    const good = await until("good", "Succeeded", ({ phase }) => phase === "Succeeded");
    assert.equal(good.containerStatuses?.[0]?.state?.terminated?.message, "done\n");
    const bad = await until("bad", "Failed", ({ phase }) => phase === "Failed");
    const { exitCode, reason, message } = bad.containerStatuses?.[0]?.state?.terminated ?? {};
    assert.deepEqual([exitCode, reason, message], [42, "Error", "oops\n"]);
    assert.equal(await logs("bad"), "oops\n");
    const none = await until("none", "an end", ({ phase }) => phase === "Failed");
    assert.equal(none.containerStatuses?.[0]?.state?.terminated?.exitCode, 128);
    assert.match(none.containerStatuses?.[0]?.state?.terminated?.message ?? "", /no such file or directory/);
    const refused = await run(kubectl("exec", "good", "--", "true"));
    assert.match(refused.stderr, /cannot exec into a container in a completed pod; current phase is Succeeded/);
  });

  test("a container that ends is started again, then held back; its last log can be read", async () => {
    await create("loop", { containers: [container("echo start; exit 1")] });
    const status = await until(
      "loop",
      "CrashLoopBackOff",
      ({ containerStatuses }) => containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    assert.equal(status.containerStatuses?.[0]?.restartCount, 1);
    assert.equal(status.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
    assert.equal(await logs("loop"), "start\n");
    assert.equal(await logs("loop", "--previous"), "start\n");
  });

  test("an image that cannot be had: ErrImagePull, and words for logs", async () => {
    await create("noimage", { containers: [container("true", { image: "127.0.0.1:1/none:1" })] });
    await until(
      "noimage",
      "ErrImagePull",
      ({ containerStatuses }) => containerStatuses?.[0]?.state?.waiting?.reason === "ErrImagePull",
    );
    const { code, stderr } = await run(kubectl("logs", "noimage"));
    assert.equal(code, 1);
    assert.match(
      stderr,
      /container "c" in pod "noimage" is waiting to start: (image can't be pulled|trying and failing to pull image)/,
    );
  });

  test("limits reach the kernel", async () => {
    const resources = { limits: { memory: "64Mi", cpu: "500m" } };
    await create("limited", { containers: [container("sleep 1000", { resources })] });
    const status = await running("limited");
    assert.equal(status.qosClass, "Guaranteed");
    const pod = await cluster.client.get<Pod>({ resource: "pods", namespace: "default", name: "limited" });
    const id = status.containerStatuses?.[0]?.containerID?.replace("containerd://", "") ?? "";
    const place = path.join(cluster.containerd.cgroupParent, "kubepods", `pod${pod.metadata?.uid}`, id);
    const files = [
      path.join("/sys/fs/cgroup/memory", place, "memory.limit_in_bytes"),
      path.join("/sys/fs/cgroup", place, "memory.max"),
    ];
    const [found] = (await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => "")))).filter(Boolean);
    assert.equal(found?.trim(), String(64 * 1024 * 1024));
  });

  test("probes: readiness holds the pod back, a failing liveness restarts its container", async () => {
    const probe = (file: string) => ({ exec: { command: ["cat", file] }, periodSeconds: 1, failureThreshold: 1 });
    await create("probed", {
      containers: [
        container("touch /tmp/alive; sleep 1000", {
          livenessProbe: { ...probe("/tmp/alive"), initialDelaySeconds: 1 },
          readinessProbe: probe("/tmp/ready"),
        }),
      ],
    });
    const ready = ({ conditions = [] }: PodStatus) =>
      conditions.find(({ type }) => type === "Ready")?.status === "True";
    assert.equal(ready(await running("probed")), false);
    await exec("probed", "touch", "/tmp/ready");
    await until("probed", "Ready", ready);
    await exec("probed", "rm", "/tmp/alive");
    await until("probed", "a restart", ({ containerStatuses }) => containerStatuses?.[0]?.restartCount === 1);
  });

  test("port-forward", async () => {
    await create("server", {
      containers: [container("exec socat TCP-LISTEN:8080,fork,reuseaddr SYSTEM:'echo served'")],
    });
    await running("server");
    await using forward = background(kubectl("port-forward", "pod/server", ":8080"));
    await forward.saw(/Forwarding from 127\.0\.0\.1:(\d+) -> 8080/);
    const port = /127\.0\.0\.1:(\d+)/.exec(forward.output())?.[1];
    const answer = await eventually(
      "an answer",
      async () => (await run(["socat", "-", `TCP:127.0.0.1:${port}`])).stdout || undefined,
    );
    assert.equal(answer, "served\n");
  });

  test("attach reaches the container's own process", async () => {
    await create("echo", { containers: [container("while read line; do echo got $line; done", { stdin: true })] });
    await running("echo");
    await using attached = background(kubectl("attach", "-i", "echo"));
    await eventually("an echo", async () => {
      attached.write("hi\n");
      await attached.saw("got hi", { timeoutMs: 1000 });
      return true;
    });
  });

  test("logs: tail, timestamps, limit, since, follow across a rotation", async () => {
    await create("chatty", {
      containers: [
        container("seq 1 50; while ! cat /tmp/go 2>/dev/null; do sleep 0.1; done; seq 100 25000; echo end; sleep 1000"),
      ],
    });
    await running("chatty");
    await eventually("first lines", async () => (await logs("chatty")).endsWith("50\n"));
    assert.equal(await logs("chatty", "--tail=2"), "49\n50\n");
    assert.match(await logs("chatty", "--tail=1", "--timestamps"), /^\d{4}-\d\d-\d\dT\S+ 50\n$/);
    assert.equal(await logs("chatty", "--limit-bytes=4"), "1\n2\n");
    assert.equal((await logs("chatty", "--since=1h")).split("\n").length, 51);
    await using follower = background(kubectl("logs", "-f", "chatty"));
    await follower.saw("\n50\n");
    await exec("chatty", "touch", "/tmp/go");
    await follower.saw("end");
    const uid = (await cluster.client.get<Pod>({ resource: "pods", namespace: "default", name: "chatty" })).metadata
      ?.uid;
    const folder = path.join(cluster.containerd.folder, "kubelet/log/pods", `default_chatty_${uid}`, "c");
    await eventually("a rotation", async () => (await readdir(folder)).length > 1, { everyMs: 200 });
    const expected = [...Array(50).keys()].map((n) => n + 1).concat([...Array(24_901).keys()].map((n) => n + 100));
    assert.equal(follower.stdout(), `${expected.join("\n")}\nend\n`);
    assert.equal(await logs("chatty"), `${expected.join("\n")}\nend\n`, "with its rotated files");
  });

  test("the node's network and a place on it; hooks", async () => {
    const lifecycle = { postStart: { exec: { command: ["sh", "-c", "echo hooked > /proc/1/fd/1"] } } };
    await create("host", {
      hostNetwork: true,
      containers: [
        container("cat /h/hostname; exec sleep 1000", {
          lifecycle,
          volumeMounts: [{ name: "h", mountPath: "/h", readOnly: true }],
        }),
      ],
      volumes: [{ name: "h", hostPath: { path: "/etc", type: "Directory" } }],
    });
    assert.equal((await running("host")).podIP, "127.0.0.1");
    const hostname = await readFile("/etc/hostname", "utf8");
    await eventually("both lines", async () => (await logs("host")) === `${hostname}hooked\n`);
  });

  test("kubectl debug", async (t) => {
    const { minor } = await newestKubectl();
    if (minor < 23) return t.skip(`kubectl 1.${minor} sends the EphemeralContainers of before 1.22, which is no more`);
    await running("web");
    const { image } = cluster.containerd;
    const debug = ["debug", "web", "--image", image, "--image-pull-policy=IfNotPresent", "--target=c", "-c", "dbg"];
    await must(kubectl(...debug, "--", "sh", "-c", "ps ax; sleep 100"));
    await until("web", "the debugger", ({ ephemeralContainerStatuses }) =>
      Boolean(ephemeralContainerStatuses?.[0]?.state?.running),
    );
    await eventually("the processes of the container", async () =>
      (await logs("web", "-c", "dbg")).includes("sleep 1000"),
    );
  });

  test("a sidecar starts first and goes last; a volume that cannot be is told", async () => {
    const side = container("exec sleep 1000", { name: "side", restartPolicy: "Always" });
    await create("sided", { restartPolicy: "Never", initContainers: [side], containers: [container("true")] });
    await until(
      "sided",
      "Succeeded",
      ({ phase, initContainerStatuses }) =>
        phase === "Succeeded" && Boolean(initContainerStatuses?.[0]?.state?.terminated),
    );
    await create("badvolume", {
      containers: [container("true")],
      volumes: [{ name: "v", hostPath: { path: "/no/such", type: "Directory" } }],
    });
    await eventually("the event", async () => {
      const { stdout } = await run(
        kubectl("get", "events", "--field-selector", "involvedObject.name=badvolume,reason=FailedMount"),
      );
      return stdout.includes(
        'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /no/such is not a directory',
      );
    });
  });

  test("containers outlive the kubelet; the next one finds them", async () => {
    const before = await running("web");
    await cluster.restartKubelet();
    assert.equal((await exec("web", "echo", "still")).stdout, "still\n");
    const now = await running("web");
    assert.equal(now.containerStatuses?.[0]?.containerID, before.containerStatuses?.[0]?.containerID);
    assert.equal(now.containerStatuses?.[0]?.restartCount, 0);
  });

  test("the kubelet refuses strangers, and what a caller may not do", async () => {
    const base = `https://127.0.0.1:${cluster.kubelet.port}`;
    const anonymous = await run(["curl", "-sk", "-w", "%{http_code}", `${base}/pods`]);
    assert.equal(anonymous.stdout, "Unauthorized\n401");
    const token = await run([
      "curl",
      "-sk",
      "-w",
      "%{http_code}",
      "-H",
      "Authorization: Bearer nonsense",
      `${base}/pods`,
    ]);
    assert.equal(token.stdout, "Unauthorized\n401");
  });

  test("deleting leaves nothing: no container, cgroup, mount, folder or process", async () => {
    await must(kubectl("delete", "pods", "--all", "--wait", "--timeout=60s"), { timeoutMs: 70_000 });
    const { folder, cgroupParent } = cluster.containerd;
    assert.deepEqual(await readdir(path.join(folder, "kubelet/pods")), []);
    assert.deepEqual(await readdir(path.join(folder, "kubelet/log/pods")), []);
    const mounts = await readFile("/proc/self/mounts", "utf8");
    assert.ok(!mounts.includes(`${folder}/kubelet`));
    const left = await run(["find", "/sys/fs/cgroup", "-path", `*${cgroupParent}/kubepods*/pod*`]);
    assert.equal(left.stdout, "");
  });
});
