// The post, re-enacted: each of its observations is a test, P1 to P19, on three hosts with its addresses. Called once
// per runtime: ours with crun, ours with runc, containerd.
import assert from "node:assert/strict";
import { release } from "node:os";
import { after, before, describe, it } from "node:test";
import {
  ancestors,
  connectionsTo,
  eventually,
  kubectls,
  must,
  postAddresses,
  processes,
  tcpSockets,
  unixSockets,
} from "@hawser/testing";
import { apiAddress, kubeletAddress, startPostLab, workerName } from "./post-lab.ts";
import { type PostVariant, pod, Scene } from "./post-scene.ts";
import { theEndOfASession, theExecItself } from "./post-streams.ts";
import { whichAddress, whichContainer, wrongCertificate } from "./post-targets.ts";

export function postScenario(variant: PostVariant): void {
  describe(variant.name, () => {
    const scene = new Scene(variant);
    before(() => scene.open());
    after(() => scene[Symbol.asyncDispose]());

    it("P1 kubectl run exec-test-nginx --image=nginx gives a Running pod in default on the worker", async () => {
      const created = await scene.post.mustKubectl(["run", pod, "--image=nginx"], { kubectl: scene.oldest });
      assert.equal(created, `pod/${pod} created\n`);
      await scene.post.mustKubectl(["wait", "--for=condition=Ready", `pod/${pod}`, "--timeout=60s"]);
      const found = JSON.parse(await scene.post.mustKubectl(["get", "pod", pod, "-o", "json"]));
      assert.equal(found.metadata.namespace, "default");
      assert.equal(found.spec.nodeName, workerName);
      assert.equal(found.status.phase, "Running");
      assert.equal(found.status.hostIP, postAddresses.worker);
      const page = `exec 3<>/dev/tcp/${found.status.podIP}/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
      assert.match(await must(scene.post.onWorker(["bash", "-c", page])), /Welcome to nginx/);
      assert.ok(
        /"(GET|HEAD) \/v2\/library\/nginx\/manifests\/latest/.test(scene.post.registry.log()),
        "the registry was asked",
      );
    });

    it("P2 the kubectl of an exec has an ESTABLISHED connection to 192.168.205.10:6443", async () => {
      for (const kubectl of [scene.oldest, scene.newest]) {
        await using session = await scene.sleepingSession(kubectl);
        const connections = await connectionsTo(scene.post.onClient, apiAddress);
        const own = connections.filter(({ owner }) => owner.includes(`pid=${session.pid},`));
        assert.ok(own.length > 0, `kubectl ${kubectl.version}`);
        for (const { local } of own) assert.match(local, /^192\.168\.205\.1:\d+$/);
      }
    });

    it("P3 the request is a POST, or the WebSocket's GET, with PodExecOptions as its query", async () => {
      for (const kubectl of await kubectls()) {
        const begin = (await scene.post.log("apiserver")).length;
        const command = ["exec", "-i", pod, "--", "echo", "a b", "a b"];
        assert.equal(await scene.post.mustKubectl(command, { kubectl, input: "" }), "a b a b\n");
        const line = await eventually("the request in the log", async () => {
          const text = (await scene.post.log("apiserver")).slice(begin);
          return text.split("\n").find((row) => /\] (GET|POST) \S+\/exec\?/.test(row));
        });
        const [, method, path = ""] = /\] (GET|POST) (\S+)/.exec(line) ?? [];
        assert.equal(method, kubectl.minor >= 30 ? "GET" : "POST", `kubectl ${kubectl.version}`);
        const url = new URL(path, "https://x");
        assert.equal(url.pathname, `/api/v1/namespaces/default/pods/${pod}/exec`);
        assert.deepEqual(url.searchParams.getAll("command"), ["echo", "a b", "a b"]);
        assert.equal(url.searchParams.get("container"), pod);
        for (const stream of ["stdin", "stdout", "stderr"]) assert.equal(url.searchParams.get(stream), "true");
        assert.equal(url.searchParams.get("tty"), null);
      }
    });

    it("P4 the API server's log has the request and the backend it connects to, with the upgrade headers", async () => {
      const begin = (await scene.post.log("apiserver")).length;
      {
        await using _session = await scene.sleepingSession(scene.oldest);
        const text = (await scene.post.log("apiserver")).slice(begin);
        assert.match(text, new RegExp(`POST "?/api/v1/namespaces/default/pods/${pod}/exec`));
        const line = text.split("\n").find((row) => row.includes("Connecting to backend proxy")) ?? "";
        const backend = `https://192.168.205.11:10250/exec/default/${pod}/${pod}?command=sh&input=1&output=1&tty=1`;
        assert.ok(line.includes(`${backend} `), line);
        for (const header of [
          "Connection:[Upgrade]",
          "Content-Length:[0]",
          "Upgrade:[SPDY/3.1]",
          "User-Agent:[kubectl/v1.20.",
          "X-Forwarded-For:[192.168.205.1]",
          "X-Stream-Protocol-Version:[v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]",
        ]) {
          assert.ok(line.includes(header), `${header} in ${line}`);
        }
      }
    });

    whichContainer(scene);
    whichAddress(scene);

    it("P7 kubectl get nodes -o wide prints every column of the post; -o jsonpath the kubelet's port", async () => {
      for (const kubectl of await kubectls()) {
        const text = await scene.post.mustKubectl(["get", "nodes", workerName, "-o", "wide"], { kubectl });
        const [head = "", row = "", ...rest] = text.trimEnd().split("\n");
        assert.deepEqual(rest, []);
        const columns = head.split(/ {2,}/);
        assert.deepEqual(columns, [
          ...["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP"],
          ...["OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"],
        ]);
        const cells = row.split(/ {2,}/);
        const cell = (name: string) => cells[columns.indexOf(name)] ?? "";
        assert.equal(cell("NAME"), workerName);
        assert.equal(cell("STATUS"), "Ready");
        assert.equal(cell("ROLES"), "<none>");
        assert.match(cell("VERSION"), /^v\d+\.\d+\.\d+/);
        assert.equal(cell("INTERNAL-IP"), "192.168.205.11");
        assert.equal(cell("EXTERNAL-IP"), "<none>");
        assert.match(cell("OS-IMAGE"), /^Debian GNU\/Linux/);
        assert.equal(cell("KERNEL-VERSION"), release());
        assert.match(cell("CONTAINER-RUNTIME"), variant.runtimeVersion);
        const path = "jsonpath={.status.daemonEndpoints.kubeletEndpoint}";
        const port = await scene.post.mustKubectl(["get", "nodes", workerName, "-o", path], { kubectl });
        assert.ok(port === '{"Port":10250}' || port === "map[Port:10250]", port);
      }
    });

    it("P8 on the master: one connection to 192.168.205.11:10250 per session, gone when the client is killed", async () => {
      const count = async () => (await connectionsTo(scene.post.onMaster, kubeletAddress)).length;
      const idle = await count();
      for (const kubectl of [scene.oldest, scene.newest]) {
        await using first = await scene.sleepingSession(kubectl);
        assert.equal(await count(), idle + 1);
        {
          await using _second = await scene.post.interactive(["exec", "-it", pod, "--", "sh"], { kubectl });
          await _second.terminal.saw("# ");
          assert.equal(await count(), idle + 2);
          _second.terminal.write("exit\n");
          await eventually("the second session's connection goes", async () => (await count()) === idle + 1);
        }
        process.kill(first.pid, "SIGKILL");
        await eventually("the connection goes with the client", async () => (await count()) === idle);
        if (variant.endsWithClient) await scene.goes(first.sleeper);
      }
    });

    it("P9 on the worker: LISTEN on 10250, and the connection from 192.168.205.10", async () => {
      await using _session = await scene.sleepingSession(scene.newest);
      const sockets = await tcpSockets(scene.post.onWorker);
      const listening = sockets.find(({ state, local }) => state === "LISTEN" && local.endsWith(":10250"));
      assert.ok(listening?.owner.includes(`pid=${scene.post.pids.kubelet},`), JSON.stringify(listening));
      const connected = sockets.filter(({ state, local }) => state === "ESTAB" && local === kubeletAddress);
      assert.ok(connected.length >= 1);
      for (const { peer } of connected) assert.match(peer, /^192\.168\.205\.10:\d+$/);
      // The other end of the same connection is the master's.
      const master = (await connectionsTo(scene.post.onMaster, kubeletAddress)).map(({ local }) => local);
      assert.deepEqual(connected.map(({ peer }) => peer).sort(), master.sort());
    });

    it("P10 on the worker: monitor, then sh as session leader on its pts, then sleep 5000 in its foreground", async () => {
      await using session = await scene.sleepingSession(scene.newest);
      const { sleeper: sleep } = session;
      const all = await processes();
      const [sh, ...above] = ancestors(all, sleep);
      assert.equal(sh?.args, "sh");
      assert.equal(sh.sid, sh.pid, "sh leads its session");
      assert.notEqual(sh.tty, 0, "sh has a terminal");
      assert.equal(sleep.sid, sh.pid);
      assert.equal(sleep.tty, sh.tty);
      assert.equal(sleep.tpgid, sleep.pgid, "sleep is in the foreground");
      assert.match(above[0]?.args ?? "nothing", variant.monitor);
    });

    it("P14 ss shows the unix-socket connection between kubelet and runtime while the session lives", async () => {
      await using _session = await scene.sleepingSession(scene.newest);
      const sockets = await unixSockets(scene.post.onWorker);
      const kubelet = sockets.filter(({ owner }) => owner.includes(`pid=${scene.post.pids.kubelet},`));
      const pair = kubelet.flatMap((end) => sockets.filter((other) => other.inode === end.peerInode));
      assert.ok(
        pair.some(({ path, owner }) => path.endsWith(".sock") && /"(hawser-runtime|containerd)"/.test(owner)),
        JSON.stringify(pair),
      );
    });

    theExecItself(scene);
    theEndOfASession(scene);
    variant.more?.(() => scene.post);
    wrongCertificate(scene);
  });
}

export { startPostLab };
