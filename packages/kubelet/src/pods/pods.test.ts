import assert from "node:assert/strict";
import { mkdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type PodStatus, StatusError } from "@hawser/api";
import { Code, CRIError } from "@hawser/cri";
import { startTestKubelet, testContainer, testPod } from "../testing/test-kubelet.ts";

const isRunning = ({ phase }: PodStatus) => phase === "Running";
const waitingFor = (reason: string) => (status: PodStatus) =>
  [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].some(
    (one) => one.state?.waiting?.reason === reason,
  );
const condition = ({ conditions = [] }: PodStatus, type: string) => conditions.find((one) => one.type === type);

test("a pod comes up: sandbox, container, status", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web"));
  const status = await kubelet.api.until("web", isRunning);
  const [container] = status.containerStatuses ?? [];
  assert.ok(container?.state?.running);
  assert.equal(container.ready, true);
  assert.equal(container.started, true);
  assert.match(container.containerID ?? "", /^fake:\/\/c\d+$/);
  assert.equal(condition(status, "Ready")?.status, "True");
  assert.match(status.podIP ?? "", /^10\.88\./);
  assert.equal(status.hostIP, "192.168.205.11");
  assert.equal(status.qosClass, "BestEffort");
  const [first] = kubelet.api.statuses("web");
  assert.equal(first?.phase, "Pending");
  assert.equal(first?.containerStatuses?.[0]?.state?.waiting?.reason, "ContainerCreating");
  assert.equal(condition(first ?? {}, "ContainersReady")?.message, "containers with unready status: [c]");
  const [sandbox] = kubelet.fake.sandboxes.values();
  assert.equal(sandbox?.config.labels["io.kubernetes.pod.uid"], "uid-web");
  assert.equal(sandbox?.config.linux?.cgroupParent, "/kubepods/besteffort/poduid-web");
  assert.equal(sandbox?.config.logDirectory, path.join(kubelet.folder, "logs/default_web_uid-web"));
  const hosts = await readFile(path.join(kubelet.folder, "root/pods/uid-web/etc-hosts"), "utf8");
  assert.match(hosts, new RegExp(`${status.podIP}\tweb`));
});

test("a deleted pod: stopped with its grace, confirmed, nothing left", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web"));
  await kubelet.api.until("web", isRunning);
  kubelet.api.delete("web", 7);
  await kubelet.api.gone("web");
  assert.ok(kubelet.fake.calls.some((call) => /^StopContainer c\d+ 7$/.test(call)));
  assert.equal(kubelet.fake.sandboxes.size, 0);
  assert.equal(kubelet.fake.containers.size, 0);
  await assert.rejects(stat(path.join(kubelet.folder, "root/pods/uid-web")), { code: "ENOENT" });
  const last = kubelet.api.statuses("web").at(-1);
  assert.ok(last?.containerStatuses?.[0]?.state?.terminated, "its end was told before it went");
});

test("a pod deleted while its image is pulled goes at once", async () => {
  await using kubelet = await startTestKubelet();
  const pulling = Promise.withResolvers<void>();
  kubelet.fake.intercept = (method) => {
    if (method !== "PullImage") return;
    pulling.resolve();
    return new Promise(() => {});
  };
  kubelet.api.put(testPod("web", { containers: [testContainer("c", { image: "slow:1" })] }));
  await pulling.promise;
  kubelet.api.delete("web", 30);
  await kubelet.api.gone("web");
});

test("a grace shortened by a second delete counts", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web"));
  await kubelet.api.until("web", isRunning);
  const stopping = Promise.withResolvers<void>();
  const patient = Promise.withResolvers<void>();
  let stops = 0;
  kubelet.fake.intercept = (method) => {
    if (method !== "StopContainer" || stops++ > 0) return;
    stopping.resolve();
    return patient.promise;
  };
  kubelet.api.delete("web", 3600);
  await stopping.promise;
  kubelet.api.delete("web", 1);
  await kubelet.api.gone("web");
  patient.resolve();
  assert.ok(kubelet.fake.calls.some((call) => / 1$/.test(call) && call.startsWith("StopContainer")));
});

test("restartPolicy Never: the phase follows the exit code, the sandbox stops, the container stays for its log", async () => {
  await using kubelet = await startTestKubelet();
  for (const [name, code, phase] of [
    ["good", 0, "Succeeded"],
    ["bad", 3, "Failed"],
  ] as const) {
    kubelet.api.put(testPod(name, { restartPolicy: "Never", containers: [testContainer(name)] }));
    await kubelet.api.until(name, isRunning);
    kubelet.fake.exit(kubelet.fake.find(name)?.status.id ?? "", code);
    const status = await kubelet.api.until(name, ({ phase: now }) => now === phase);
    assert.equal(status.containerStatuses?.[0]?.state?.terminated?.exitCode, code);
    assert.equal(condition(status, "Ready")?.reason, code === 0 ? "PodCompleted" : "PodFailed");
    assert.ok(kubelet.fake.find(name));
  }
});

test("restartPolicy Always: the first restart at once, the next one after a pause, with kubectl's words", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web"));
  await kubelet.api.until("web", isRunning);
  kubelet.fake.exit(kubelet.fake.find("c")?.status.id ?? "", 1);
  const again = await kubelet.api.until("web", (status) => status.containerStatuses?.[0]?.restartCount === 1);
  assert.equal(again.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
  await kubelet.api.until("web", (status) => Boolean(status.containerStatuses?.[0]?.state?.running));
  kubelet.fake.exit(kubelet.fake.find("c")?.status.id ?? "", 1);
  const status = await kubelet.api.until("web", waitingFor("CrashLoopBackOff"));
  const waiting = status.containerStatuses?.[0]?.state?.waiting;
  assert.equal(waiting?.message, "back-off 10s restarting failed container=c pod=web_default(uid-web)");
  assert.equal(status.phase, "Running");
});

test("init containers run one after the other, before the rest", async () => {
  await using kubelet = await startTestKubelet();
  const spec = { initContainers: [testContainer("one"), testContainer("two")], containers: [testContainer("main")] };
  kubelet.api.put(testPod("web", spec));
  for (const name of ["one", "two"]) {
    const status = await kubelet.api.until("web", ({ initContainerStatuses: list = [] }) =>
      list.some((one) => one.name === name && one.state?.running),
    );
    assert.equal(status.containerStatuses?.[0]?.state?.waiting?.reason, "PodInitializing");
    assert.equal(condition(status, "Initialized")?.status, "False");
    assert.equal(kubelet.fake.find("main"), undefined);
    kubelet.fake.exit(kubelet.fake.find(name)?.status.id ?? "", 0);
  }
  const status = await kubelet.api.until("web", isRunning);
  assert.equal(condition(status, "Initialized")?.status, "True");
});

test("an image that is not there: ErrImagePull, then ImagePullBackOff", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web", { containers: [testContainer("c", { image: "nowhere:1" })] }));
  const failed = await kubelet.api.until("web", waitingFor("ErrImagePull"));
  assert.match(
    failed.containerStatuses?.[0]?.state?.waiting?.message ?? "",
    /code = NotFound desc = failed to resolve reference "nowhere:1"/,
  );
  const status = await kubelet.api.until("web", waitingFor("ImagePullBackOff"));
  assert.match(status.containerStatuses?.[0]?.state?.waiting?.message ?? "", /^Back-off pulling image "nowhere:1"/);
});

test("a container that cannot be created says why", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.fake.intercept = (method) => {
    if (method === "CreateContainer") throw new CRIError(Code.Unknown, "no such device");
  };
  kubelet.api.put(testPod("web"));
  const status = await kubelet.api.until("web", waitingFor("CreateContainerError"));
  assert.equal(
    status.containerStatuses?.[0]?.state?.waiting?.message,
    "rpc error: code = Unknown desc = no such device",
  );
});

test("runAsNonRoot and an image that runs as root: CreateContainerConfigError", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web", { securityContext: { runAsNonRoot: true } }));
  const status = await kubelet.api.until("web", waitingFor("CreateContainerConfigError"));
  assert.match(
    status.containerStatuses?.[0]?.state?.waiting?.message ?? "",
    /^container has runAsNonRoot and image will run as root/,
  );
});

test("a sandbox that dies is replaced, and its containers start anew", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web"));
  await kubelet.api.until("web", isRunning);
  const [[id = ""] = []] = kubelet.fake.sandboxes;
  await kubelet.fake.runtime.stopPodSandbox?.({ podSandboxId: id } as never, { signal: new AbortController().signal });
  await kubelet.api.until("web", (status) => status.containerStatuses?.[0]?.restartCount === 1 && isRunning(status));
  assert.equal(kubelet.fake.sandboxes.size, 2);
});

test("a restarted kubelet finds its pods as they are, and removes what is no longer wanted", async () => {
  await using kubelet = await startTestKubelet();
  for (const name of ["stays", "goes"]) {
    kubelet.api.put(testPod(name, { containers: [testContainer(name)] }));
    await kubelet.api.until(name, isRunning);
  }
  const before = kubelet.fake.find("stays")?.status.id;
  await kubelet.pods[Symbol.asyncDispose]();
  kubelet.api.forget("goes");
  const removed = Promise.withResolvers<void>();
  kubelet.fake.intercept = (method) => {
    if (method === "RemovePodSandbox") removed.resolve();
  };
  await kubelet.restart();
  await removed.promise;
  assert.equal(kubelet.fake.find("stays")?.status.id, before);
  assert.equal(kubelet.pods.byName("default", "stays")?.status?.phase, "Running");
});

test("how a pod ended stands, though the runtime has lost its containers", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("over", { restartPolicy: "Never" }));
  await kubelet.api.until("over", ({ phase }) => phase === "Running");
  kubelet.fake.exit(kubelet.fake.find("c")?.status.id ?? "", 3);
  const before = await kubelet.api.until("over", ({ phase }) => phase === "Failed");
  const [sandbox] = (await kubelet.context.runtime.listPodSandbox({})).items;
  await kubelet.context.runtime.removePodSandbox({ podSandboxId: sandbox?.id ?? "" });
  await kubelet.restart();
  kubelet.api.put(testPod("later"));
  await kubelet.api.until("later", ({ phase }) => phase === "Running");
  const after = await kubelet.api.until("over", ({ phase }) => phase === "Failed");
  assert.equal(after.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
  assert.deepEqual(after.containerStatuses, before.containerStatuses);
});

test("a runtime that is gone for a while: what runs stays, what was asked meanwhile comes after", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("before", { containers: [testContainer("before")] }));
  await kubelet.api.until("before", isRunning);
  await kubelet.stopRuntime();
  kubelet.api.put(testPod("meanwhile", { containers: [testContainer("meanwhile")] }));
  await kubelet.api.until("meanwhile", ({ containerStatuses }) => containerStatuses !== undefined);
  kubelet.fake.exit(kubelet.fake.find("before")?.status.id ?? "", 1);
  await kubelet.startRuntime();
  await kubelet.api.until("meanwhile", isRunning);
  await kubelet.api.until("before", ({ containerStatuses }) => containerStatuses?.[0]?.restartCount === 1);
});

test("a runtime without events is looked at each second", async () => {
  await using kubelet = await startTestKubelet({ events: false });
  kubelet.api.put(testPod("web", { restartPolicy: "Never" }));
  await kubelet.api.until("web", isRunning);
  kubelet.fake.exit(kubelet.fake.find("c")?.status.id ?? "", 0);
  await kubelet.api.until("web", ({ phase }) => phase === "Succeeded");
});

test("folders of pods that nobody knows are removed at the start", async () => {
  await using kubelet = await startTestKubelet();
  const folder = path.join(kubelet.folder, "root/pods/uid-old/volumes/kubernetes.io~empty-dir/v");
  await mkdir(folder, { recursive: true });
  await kubelet.restart();
  while (await stat(path.join(kubelet.folder, "root/pods/uid-old")).catch(() => undefined)) await setImmediate();
});

test("a pod gone from the API without a word is stopped all the same", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.put(testPod("web"));
  await kubelet.api.until("web", isRunning);
  const removed = Promise.withResolvers<void>();
  kubelet.fake.intercept = (method) => {
    if (method === "RemovePodSandbox") removed.resolve();
  };
  kubelet.api.forget("web");
  await removed.promise;
});

test("activeDeadlineSeconds ends the pod as Failed", async () => {
  await using kubelet = await startTestKubelet();
  const pod = testPod("web", { activeDeadlineSeconds: 1 });
  kubelet.api.put(pod);
  const status = await kubelet.api.until("web", ({ phase }) => phase === "Failed");
  assert.equal(status.reason, "DeadlineExceeded");
});

test("a liveness probe that fails for good restarts the container; readiness shows in the conditions", async () => {
  await using kubelet = await startTestKubelet();
  let alive = true;
  kubelet.fake.execSync = ({ cmd }) => ({ exitCode: cmd[0] === "alive" && !alive ? 1 : 0 });
  const probe = (command: string) => ({ exec: { command: [command] }, periodSeconds: 1, failureThreshold: 1 });
  const container = testContainer("c", { livenessProbe: probe("alive"), readinessProbe: probe("ready") });
  kubelet.api.put(testPod("web", { containers: [container] }));
  await kubelet.api.until("web", (status) => condition(status, "Ready")?.status === "True");
  alive = false;
  const first = kubelet.fake.find("c")?.status.id;
  await kubelet.api.until("web", (status) => status.containerStatuses?.[0]?.restartCount === 1);
  assert.notEqual(kubelet.fake.find("c")?.status.id, first);
});

test("environment: fields, expansion, ConfigMap and Secret", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.api.objects.set("configmaps/default/conf", { data: { COLOR: "blue" } } as never);
  kubelet.api.objects.set("secrets/default/hush", { data: { KEY: Buffer.from("s3cret").toString("base64") } } as never);
  const env = [
    { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
    { name: "SECRET", valueFrom: { secretKeyRef: { name: "hush", key: "KEY" } } },
    { name: "BOTH", value: "$(POD)-$(COLOR)-$(NONE)-$$(POD)" },
  ];
  const container = testContainer("c", {
    env,
    envFrom: [{ configMapRef: { name: "conf" } }],
    args: ["$(BOTH)"],
    resources: { limits: { cpu: "250m" } },
  });
  kubelet.api.put(testPod("web", { containers: [container] }));
  const { podIP } = await kubelet.api.until("web", isRunning);
  const config = kubelet.fake.find("c")?.config;
  const seen = Object.fromEntries(config?.envs.map(({ key, value }) => [key, Buffer.from(value).toString()]) ?? []);
  assert.deepEqual(seen, {
    COLOR: "blue",
    POD: "web",
    IP: podIP,
    CPU: "250",
    SECRET: "s3cret",
    BOTH: "web-blue-$(NONE)-$(POD)",
  });
  assert.deepEqual(config?.args, ["web-blue-$(NONE)-$(POD)"]);
  assert.equal(config?.linux?.resources?.cpuQuota, 25_000n);
  assert.equal(config?.linux?.resources?.cpuShares, 256n);
});

test("what this kubelet cannot do is refused by name, and so is one pod too many", async () => {
  await using kubelet = await startTestKubelet();
  kubelet.context.settings.maxPods = 1;
  kubelet.api.put(
    testPod("odd", {
      hostUsers: false,
      containers: [testContainer("c", { volumeDevices: [{ name: "d", devicePath: "/d" }] })],
    }),
  );
  const odd = await kubelet.api.until("odd", ({ phase }) => phase === "Failed");
  assert.equal(odd.reason, "PodFeatureUnsupported");
  assert.match(odd.message ?? "", /spec\.hostUsers: false, container c: volumeDevices/);
  kubelet.api.put(testPod("one"));
  await kubelet.api.until("one", isRunning);
  kubelet.api.put(testPod("two"));
  assert.equal((await kubelet.api.until("two", ({ phase }) => phase === "Failed")).reason, "OutOfpods");
  kubelet.api.delete("two", 0);
  await kubelet.api.gone("two");
});

test("a pod that was refused stays so, and is told of once, though the API server takes that late and there is room by then", async (test) => {
  await using kubelet = await startTestKubelet();
  const { api, context } = kubelet;
  const record = test.mock.method(context.events, "record");
  context.settings.maxPods = 1;
  api.put(testPod("one"));
  await api.until("one", isRunning);
  const { patch } = api.client;
  const refused = Promise.withResolvers<void>();
  let refuses = true;
  api.client.patch = async (ref, body, options) => {
    if (!refuses || ref.name !== "two") return patch(ref, body, options);
    refused.resolve();
    throw new StatusError({ status: "Failure", code: 500, reason: "InternalError", message: "not now" });
  };
  api.put(testPod("two"));
  await refused.promise;
  api.delete("one", 0);
  await api.gone("one");
  for (const label of ["a", "b", "c"])
    api.put({ ...testPod("two"), metadata: { ...testPod("two").metadata, labels: { label } } });
  refuses = false;
  assert.equal((await api.until("two", ({ phase }) => phase === "Failed")).reason, "OutOfpods");
  assert.ok(api.statuses("two").every(({ phase }) => phase === "Failed"));
  assert.equal(record.mock.calls.filter(({ arguments: [, , reason] }) => reason === "OutOfpods").length, 1);
});
