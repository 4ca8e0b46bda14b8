import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { PodSpec } from "@hawser/api";
import { NamespaceMode, SecurityProfile_ProfileType as ProfileType } from "@hawser/cri";
import { BackOff, durationText } from "./back-off.ts";
import { parseResolvConf, podDNS } from "./dns.ts";
import { expand } from "./expand.ts";
import { hostsFile } from "./hosts-file.ts";
import { pullPolicy, withTag } from "./images.ts";
import { gracePeriod } from "./labels.ts";
import { containerMounts } from "./mounts.ts";
import { podFolder } from "./paths.ts";
import type { BoundPod } from "./pod.ts";
import { oomScoreAdjust, shares } from "./resources.ts";
import { cgroupParent } from "./sandbox-config.ts";
import { containerSecurity, sandboxSecurity } from "./security.ts";

function pod(spec: Partial<PodSpec> = {}): BoundPod {
  return {
    metadata: { name: "p", namespace: "d", uid: "u-1" },
    spec: { containers: [{ name: "a", image: "i" }], ...spec },
  };
}
const resources = (requests: Record<string, string>, limits: Record<string, string>) =>
  pod({ containers: [{ name: "a", resources: { requests, limits } }] });

for (const [text, want] of [
  ["$(A)", "1"],
  ["x$(A)y$(B)", "x1y$(B)"],
  ["$$(A)", "$(A)"],
  ["$$$(A)", "$1"],
  ["$A $(", "$A $("],
] as const) {
  test(`expand ${text}`, () =>
    assert.equal(
      expand(text, (name) => (name === "A" ? "1" : undefined)),
      want,
    ));
}

test("shares and OOM scores follow from requests and the quality of service", () => {
  assert.deepEqual([shares(0), shares(100), shares(1000), shares(1e9)], [2, 102, 1024, 262_144]);
  const burstable = resources({ memory: "1Gi" }, {});
  const score = (one: BoundPod) => oomScoreAdjust(one, one.spec.containers[0] ?? { name: "" }, 4 * 2 ** 30);
  assert.deepEqual(
    [score(pod()), score(burstable), score(resources({}, { cpu: "1", memory: "1Gi" }))],
    [1000, 750, -997],
  );
});

test("cgroup parents for both drivers", () => {
  const burstable = resources({ memory: "1Gi" }, {});
  assert.equal(cgroupParent(burstable, { driver: "cgroupfs", root: "/x" }), "/x/kubepods/burstable/podu-1");
  assert.equal(
    cgroupParent(burstable, { driver: "systemd", root: "/" }),
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu_1.slice",
  );
  assert.equal(
    cgroupParent(burstable, { driver: "systemd", root: "/a-b" }),
    "/a_b.slice/a_b-kubepods.slice/a_b-kubepods-burstable.slice/a_b-kubepods-burstable-podu_1.slice",
  );
});

test("back-off: at once, 10 s, 20 s, ... 5 min; forgotten after 10 min", () => {
  let now = 0;
  const backOff = new BackOff(() => now);
  assert.equal(backOff.remaining("a", 0), 0);
  backOff.next("a", 0);
  assert.equal(backOff.remaining("a", 1000), 11_000);
  now = 11_000;
  assert.equal(backOff.remaining("a", 1000), 0);
  for (let time = 0; time < 10; time++) backOff.next("a", now);
  assert.equal(backOff.pause("a"), 300_000);
  assert.equal(backOff.remaining("a", now + 600_001), 0);
  assert.deepEqual([durationText(10_000), durationText(80_000), durationText(300_000)], ["10s", "1m20s", "5m0s"]);
});

test("resolv.conf for each dnsPolicy", () => {
  const host = parseResolvConf("# x\nnameserver 192.0.2.1\nsearch a b\nsearch lan .\noptions ndots:1 rotate\n");
  assert.deepEqual(host, { servers: ["192.0.2.1"], searches: ["lan"], options: ["ndots:1", "rotate"] });
  const settings = { host, clusterDNS: ["10.0.0.10"], clusterDomain: "cluster.local" };
  const dns = (spec: Partial<PodSpec>) => podDNS({ containers: [], ...spec }, "ns", settings);
  assert.deepEqual(dns({}), {
    servers: ["10.0.0.10"],
    searches: ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"],
    options: ["ndots:5"],
  });
  assert.deepEqual(dns({ hostNetwork: true }), host);
  assert.deepEqual(dns({ dnsPolicy: "Default" }), host);
  const dnsConfig = {
    nameservers: ["1.1.1.1"],
    searches: ["x"],
    options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
  };
  assert.deepEqual(dns({ dnsPolicy: "None", dnsConfig }), {
    servers: ["1.1.1.1"],
    searches: ["x"],
    options: ["ndots:2", "edns0"],
  });
  assert.deepEqual(podDNS({ containers: [] }, "ns", { ...settings, clusterDNS: [] }), host);
});

test("/etc/hosts", () => {
  const text = hostsFile(
    { containers: [], hostAliases: [{ ip: "1.2.3.4", hostnames: ["a", "b"] }] },
    { ips: ["10.0.0.2"], hostname: "web", domain: "sub.ns.svc.cluster.local", nodeHosts: "" },
  );
  assert.match(text, /^10\.0\.0\.2\tweb\.sub\.ns\.svc\.cluster\.local\tweb$/m);
  assert.match(text, /^1\.2\.3\.4\ta\tb$/m);
  const host = hostsFile(
    { containers: [], hostNetwork: true },
    { ips: [], hostname: "x", nodeHosts: "127.0.0.1 localhost\n" },
  );
  assert.match(host, /host network\)\.\n127\.0\.0\.1 localhost\n/);
});

test("pull policies and tags", () => {
  assert.deepEqual(["a", "a:1", "h:5000/a", "a@sha256:0"].map(withTag), [
    "a:latest",
    "a:1",
    "h:5000/a:latest",
    "a@sha256:0",
  ]);
  const policy = (image: string, imagePullPolicy?: "Never") =>
    pullPolicy({ name: "c", image, ...(imagePullPolicy && { imagePullPolicy }) });
  assert.deepEqual(
    [policy("a"), policy("a:latest"), policy("a:1"), policy("a", "Never")],
    ["Always", "Always", "IfNotPresent", "Never"],
  );
});

test("security: the container's word goes before the pod's; privileged has nothing masked", () => {
  const both = pod({
    securityContext: {
      runAsUser: 1,
      runAsGroup: 2,
      fsGroup: 3,
      supplementalGroups: [4],
      seccompProfile: { type: "RuntimeDefault" },
    },
  });
  const options = { imageUser: { username: "" }, seccompDefault: false, rootDir: "/r" };
  const local = { type: "Localhost", localhostProfile: "a.json" };
  const own = containerSecurity(both, { name: "c", securityContext: { seccompProfile: local } }, options);
  assert.equal(own.seccomp?.localhostRef, "/r/seccomp/a.json");
  const plain = containerSecurity(both, { name: "c", securityContext: { runAsUser: 9 } }, options);
  assert.equal(plain.runAsUser?.value, 9n);
  assert.equal(plain.runAsGroup?.value, 2n);
  assert.deepEqual(plain.supplementalGroups, [3n, 4n]);
  assert.equal(plain.seccomp?.profileType, ProfileType.RuntimeDefault);
  assert.ok((plain.maskedPaths?.length ?? 0) > 5);
  const privileged = containerSecurity(both, { name: "c", securityContext: { privileged: true } }, options);
  assert.deepEqual(
    [privileged.privileged, privileged.maskedPaths, privileged.seccomp?.profileType],
    [true, [], ProfileType.Unconfined],
  );
  const shared = sandboxSecurity(pod({ hostNetwork: true, shareProcessNamespace: true }), options).namespaceOptions;
  assert.deepEqual(
    [shared?.network, shared?.pid, shared?.ipc],
    [NamespaceMode.NODE, NamespaceMode.POD, NamespaceMode.POD],
  );
  const target = containerSecurity(pod(), { name: "dbg" }, { ...options, targetId: "c1" }).namespaceOptions;
  assert.deepEqual([target?.pid, target?.targetId], [NamespaceMode.TARGET, "c1"]);
});

test("grace: the deletion's word, the pod's, 30; never less than 1", () => {
  assert.equal(gracePeriod(pod()), 30);
  assert.equal(gracePeriod(pod({ terminationGracePeriodSeconds: 5 })), 5);
  const deleted = pod({ terminationGracePeriodSeconds: 5 });
  deleted.metadata = { ...deleted.metadata, deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 };
  assert.equal(gracePeriod(deleted), 1);
});

test("a subPath cannot leave its volume, nor a uid the pods' folder", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-mounts-"));
  try {
    const volume = path.join(folder, "v");
    await mkdir(volume);
    await symlink("/etc", path.join(volume, "link"));
    const sources = {
      folders: { rootDir: folder, podLogsDir: folder },
      volumes: new Map([["v", volume]]),
      environment: new Map([["N", "sub"]]),
    };
    const mounts = (mount: { subPath?: string; subPathExpr?: string }) =>
      containerMounts(sources, pod(), { name: "c", volumeMounts: [{ name: "v", mountPath: "/m", ...mount }] });
    assert.equal((await mounts({ subPathExpr: "a/$(N)" }))[0]?.hostPath, path.join(volume, "a/sub"));
    await assert.rejects(mounts({ subPath: "../x" }), { name: "ContainerConfigError" });
    await assert.rejects(mounts({ subPath: "link/passwd" }), /symbolic link/);
    assert.throws(() => podFolder({ rootDir: folder, podLogsDir: folder }, "../../etc"), /no file name/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
