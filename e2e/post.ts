// The post, re-enacted: each of its observations is a test, P1 to P19, on three hosts with its addresses. Called once
// per runtime: ours with crun, ours with runc, containerd.
import assert from "node:assert/strict";
import { release } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  ancestors,
  background,
  checkout,
  connectionsTo,
  eventually,
  type Kubectl,
  kubectls,
  must,
  type ProcessRow,
  postAddresses,
  processes,
  tcpSockets,
  terminalOf,
  unixSockets,
} from "@hawser/testing";
import { apiAddress, kubeletAddress, type PostLab, type Session, startPostLab, workerName } from "./post-lab.ts";

const pod = "exec-test-nginx";

export interface PostVariant {
  name: string;
  open(): Promise<PostLab>;
  /** What `kubectl get nodes -o wide` shows as CONTAINER-RUNTIME. */
  runtimeVersion: RegExp;
  /** The program above an exec's `sh`. */
  monitor: RegExp;
  /** Whether a command goes with its client. Ours does; containerd 1.6 lets it run on. */
  endsWithClient: boolean;
  /** Further observations, once the pod of P1 runs. */
  more?(lab: () => PostLab): void;
}

export function postScenario(variant: PostVariant): void {
  describe(variant.name, () => {
    let post: PostLab;
    let oldest: Kubectl;
    let newest: Kubectl;
    before(async () => {
      const all = await kubectls();
      assert.ok(all[0]);
      oldest = all[0];
      newest = all.at(-1) ?? oldest;
      post = await variant.open();
    });
    after(async () => {
      await post?.[Symbol.asyncDispose]();
    });

    /** `kubectl exec -it … -- sh`, and in it `sleep 5000`, as the post does. `sleeper` is its process on the worker. */
    async function sleepingSession(kubectl: Kubectl): Promise<Session & { sleeper: ProcessRow }> {
      const before = new Set((await sleeps()).map(({ pid }) => pid));
      const session = await post.interactive(["exec", "-it", pod, "--", "sh"], { kubectl });
      await session.terminal.saw("# ");
      session.terminal.write("sleep 5000\n");
      const sleeper = await eventually("sleep 5000 runs in the foreground", async () =>
        (await sleeps()).find(({ pid, pgid, tpgid }) => !before.has(pid) && tpgid === pgid),
      );
      return { ...session, sleeper };
    }
    const sleeps = async () => (await processes()).filter(({ args }) => args === "sleep 5000");
    const goes = ({ pid }: ProcessRow) =>
      eventually("sleep 5000 goes", async () => !(await sleeps()).some((row) => row.pid === pid));

    it("P1 kubectl run exec-test-nginx --image=nginx gives a Running pod in default on the worker", async () => {
      const created = await post.mustKubectl(["run", pod, "--image=nginx"], { kubectl: oldest });
      assert.equal(created, `pod/${pod} created\n`);
      await post.mustKubectl(["wait", "--for=condition=Ready", `pod/${pod}`, "--timeout=60s"]);
      const found = JSON.parse(await post.mustKubectl(["get", "pod", pod, "-o", "json"]));
      assert.equal(found.metadata.namespace, "default");
      assert.equal(found.spec.nodeName, workerName);
      assert.equal(found.status.phase, "Running");
      assert.equal(found.status.hostIP, postAddresses.worker);
      const page = `exec 3<>/dev/tcp/${found.status.podIP}/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
      assert.match(await must(post.onWorker(["bash", "-c", page])), /Welcome to nginx/);
      assert.ok(
        /"(GET|HEAD) \/v2\/library\/nginx\/manifests\/latest/.test(post.registry.log()),
        "the registry was asked",
      );
    });

    it("P2 the kubectl of an exec has an ESTABLISHED connection to 192.168.205.10:6443", async () => {
      for (const kubectl of [oldest, newest]) {
        await using session = await sleepingSession(kubectl);
        const connections = await connectionsTo(post.onClient, apiAddress);
        const own = connections.filter(({ owner }) => owner.includes(`pid=${session.pid},`));
        assert.ok(own.length > 0, `kubectl ${kubectl.version}`);
        for (const { local } of own) assert.match(local, /^192\.168\.205\.1:\d+$/);
      }
    });

    it("P3 the request is a POST, or the WebSocket's GET, with PodExecOptions as its query", async () => {
      for (const kubectl of await kubectls()) {
        const begin = (await post.log("apiserver")).length;
        const command = ["exec", "-i", pod, "--", "echo", "a b", "a b"];
        assert.equal(await post.mustKubectl(command, { kubectl, input: "" }), "a b a b\n");
        const line = await eventually("the request in the log", async () => {
          const text = (await post.log("apiserver")).slice(begin);
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
      const begin = (await post.log("apiserver")).length;
      {
        await using _session = await sleepingSession(oldest);
        const text = (await post.log("apiserver")).slice(begin);
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

    describe("P5 which container", () => {
      const two = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "two" },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: ["first", "second"].map((name) => ({
            name,
            image: "busybox",
            command: ["sh", "-c", `echo ${name} >/name; exec sleep 3600`],
          })),
        },
      };
      /** The API server's own answer to an exec, without kubectl's help. */
      async function askedRaw(path: string): Promise<{ statusCode: number; body: string }> {
        const script = join(checkout, "e2e/raw-upgrade.ts");
        return JSON.parse(await must(post.onClient([process.execPath, script, post.paths.kubeconfig, path])));
      }
      before(async () => {
        await post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(two) });
        await post.mustKubectl(["wait", "--for=condition=Ready", "pod/two", "--timeout=60s"]);
      });
      after(async () => {
        await post.mustKubectl(["delete", "pod", "two", "unscheduled", "--ignore-not-found", "--now"]);
      });

      it("one container and none named: that one", async () => {
        const { statusCode } = await askedRaw(`/api/v1/namespaces/default/pods/${pod}/exec?command=true&stdout=1`);
        assert.equal(statusCode, 101);
      });

      it("several and none named: the API server asks for a name", async () => {
        const { statusCode, body } = await askedRaw("/api/v1/namespaces/default/pods/two/exec?command=true&stdout=1");
        assert.equal(statusCode, 400);
        const status = JSON.parse(body);
        assert.equal(status.message, "a container name must be specified for pod two, choose one of: [first second]");
        assert.equal(status.reason, "BadRequest");
      });

      it("several and none named: kubectl takes the first and says so, each in its own words", async () => {
        for (const kubectl of [oldest, newest]) {
          const { stdout, stderr } = await post.kubectl(["exec", "two", "--", "cat", "/name"], { kubectl });
          assert.equal(stdout, "first\n");
          assert.match(
            stderr,
            kubectl.minor < 22
              ? /Defaulting container name to first\./
              : /Defaulted container "first" out of: first, second/,
          );
        }
      });

      it("several and one named: that one; and one that is not there", async () => {
        assert.equal(await post.mustKubectl(["exec", "two", "-c", "second", "--", "cat", "/name"]), "second\n");
        const { statusCode, body } = await askedRaw(
          "/api/v1/namespaces/default/pods/two/exec?command=true&stdout=1&container=third",
        );
        assert.equal(statusCode, 400);
        assert.equal(JSON.parse(body).message, "container third is not valid for pod two");
      });

      it("no host assigned: 400 with the real message", async () => {
        const overrides = JSON.stringify({ spec: { nodeSelector: { no: "where" } } });
        await post.mustKubectl(["run", "unscheduled", "--image=nginx", `--overrides=${overrides}`]);
        const { code, stderr } = await post.kubectl(["exec", "unscheduled", "--", "true"]);
        assert.equal(stderr, "Error from server (BadRequest): pod unscheduled does not have a host assigned\n");
        assert.equal(code, 1);
      });
    });

    it("P6 node address by preferred type, kubelet port from the node's status, 10250 where absent", async () => {
      const node = (name: string, status: object) => ({ apiVersion: "v1", kind: "Node", metadata: { name }, status });
      const addresses = [
        { type: "Hostname", address: "nowhere.invalid" },
        { type: "InternalIP", address: "192.168.205.1" },
      ];
      const onNode = (nodeName: string) => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `on-${nodeName}` },
        spec: { nodeName, containers: [{ name: "c", image: "nginx" }] },
      });
      const cases = [
        { name: "port-1234", status: { addresses, daemonEndpoints: { kubeletEndpoint: { Port: 1234 } } }, want: 1234 },
        { name: "no-port", status: { addresses }, want: 10250 },
      ];
      for (const { name, status, want } of cases) {
        const begin = (await post.log("apiserver")).length;
        await post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(node(name, status)) });
        await post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(onNode(name)) });
        const { code, stderr } = await post.kubectl(["exec", `on-${name}`, "--", "true"], { kubectl: oldest });
        assert.equal(code, 1);
        assert.match(stderr, new RegExp(`dial tcp 192\\.168\\.205\\.1:${want}: connect: connection refused`));
        const text = (await post.log("apiserver")).slice(begin);
        assert.ok(text.includes(`https://192.168.205.1:${want}/exec/default/on-${name}/c?command=true`), text);
        await post.mustKubectl(["delete", "pod", `on-${name}`, "--force", "--grace-period=0"]);
        await post.mustKubectl(["delete", "node", name]);
      }
    });

    it("P7 kubectl get nodes -o wide prints every column of the post; -o jsonpath the kubelet's port", async () => {
      for (const kubectl of await kubectls()) {
        const text = await post.mustKubectl(["get", "nodes", workerName, "-o", "wide"], { kubectl });
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
        const port = await post.mustKubectl(["get", "nodes", workerName, "-o", path], { kubectl });
        assert.ok(port === '{"Port":10250}' || port === "map[Port:10250]", port);
      }
    });

    it("P8 on the master: one connection to 192.168.205.11:10250 per session, gone when the client is killed", async () => {
      const count = async () => (await connectionsTo(post.onMaster, kubeletAddress)).length;
      const idle = await count();
      for (const kubectl of [oldest, newest]) {
        await using first = await sleepingSession(kubectl);
        assert.equal(await count(), idle + 1);
        {
          await using _second = await post.interactive(["exec", "-it", pod, "--", "sh"], { kubectl });
          await _second.terminal.saw("# ");
          assert.equal(await count(), idle + 2);
          _second.terminal.write("exit\n");
          await eventually("the second session's connection goes", async () => (await count()) === idle + 1);
        }
        process.kill(first.pid, "SIGKILL");
        await eventually("the connection goes with the client", async () => (await count()) === idle);
        if (variant.endsWithClient) await goes(first.sleeper);
      }
    });

    it("P9 on the worker: LISTEN on 10250, and the connection from 192.168.205.10", async () => {
      await using _session = await sleepingSession(newest);
      const sockets = await tcpSockets(post.onWorker);
      const listening = sockets.find(({ state, local }) => state === "LISTEN" && local.endsWith(":10250"));
      assert.ok(listening?.owner.includes(`pid=${post.pids.kubelet},`), JSON.stringify(listening));
      const connected = sockets.filter(({ state, local }) => state === "ESTAB" && local === kubeletAddress);
      assert.ok(connected.length >= 1);
      for (const { peer } of connected) assert.match(peer, /^192\.168\.205\.10:\d+$/);
      // The other end of the same connection is the master's.
      const master = (await connectionsTo(post.onMaster, kubeletAddress)).map(({ local }) => local);
      assert.deepEqual(connected.map(({ peer }) => peer).sort(), master.sort());
    });

    it("P10 on the worker: monitor, then sh as session leader on its pts, then sleep 5000 in its foreground", async () => {
      await using session = await sleepingSession(newest);
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
      await using _session = await sleepingSession(newest);
      const sockets = await unixSockets(post.onWorker);
      const kubelet = sockets.filter(({ owner }) => owner.includes(`pid=${post.pids.kubelet},`));
      const pair = kubelet.flatMap((end) => sockets.filter((other) => other.inode === end.peerInode));
      assert.ok(
        pair.some(({ path, owner }) => path.endsWith(".sock") && /"(hawser-runtime|containerd)"/.test(owner)),
        JSON.stringify(pair),
      );
    });

    describe("P16 the exec itself", () => {
      it("the exit code comes back, by every kubectl", async () => {
        for (const kubectl of await kubectls()) {
          const { code, stderr } = await post.kubectl(["exec", pod, "--", "sh", "-c", "exit 42"], { kubectl });
          assert.equal(code, 42, `kubectl ${kubectl.version}: ${stderr}`);
          assert.match(stderr, /command terminated with exit code 42/);
        }
      });

      it("stdout and stderr come apart, stdin arrives whole, by every kubectl", async () => {
        const input = "0123456789abcdef".repeat(64 * 1024); // 1 MiB
        for (const kubectl of await kubectls()) {
          const command = ["exec", "-i", pod, "--", "sh", "-c", "cat; echo over >&2"];
          const { code, stdout, stderr } = await post.kubectl(command, { kubectl, input });
          assert.equal(code, 0, `kubectl ${kubectl.version}: ${stderr}`);
          assert.equal(stdout.length, input.length, `kubectl ${kubectl.version}`);
          assert.equal(stdout === input, true);
          assert.equal(stderr, "over\n");
        }
      });

      it("without a tty, exit ends the call though stdin stays open, by every kubectl", async () => {
        for (const kubectl of await kubectls()) {
          await using session = post.piped(["exec", "-i", pod, "--", "bash"], { kubectl });
          session.write("echo started\n");
          await session.saw("started");
          session.write("exit 3\n");
          assert.deepEqual(await session.exit, { code: 3, signal: null }, `kubectl ${kubectl.version}`);
        }
      });

      it("with a tty, the window's size arrives, and each change of it, by every kubectl", async () => {
        for (const kubectl of await kubectls()) {
          const size = { kubectl, rows: 31, columns: 101 };
          await using session = await post.interactive(["exec", "-it", pod, "--", "bash", "--norc"], size);
          const { terminal } = session;
          await terminal.saw(/[#$] $/);
          await eventually("the first size", async () => {
            const from = terminal.output().length;
            terminal.write("stty size\n");
            await terminal.saw(/\d+ \d+\r\n/, { from });
            return /31 101/.test(terminal.output().slice(from));
          });
          await must(["stty", "-F", await terminalOf(session.pid), "rows", "45", "cols", "132"]);
          await eventually(`the second size, kubectl ${kubectl.version}`, async () => {
            const from = terminal.output().length;
            terminal.write("stty size\n");
            await terminal.saw(/\d+ \d+\r\n/, { from });
            return /45 132/.test(terminal.output().slice(from));
          });
          terminal.write("exit 5\n");
          assert.equal((await terminal.exit).code, 5, `kubectl ${kubectl.version}`);
        }
      });
    });

    describe("P17 the end of a session", () => {
      async function counts() {
        const [client, master, streams] = await Promise.all([
          connectionsTo(post.onClient, apiAddress),
          connectionsTo(post.onMaster, kubeletAddress),
          tcpSockets(post.onWorker),
        ]);
        const loopback = streams.filter(
          ({ state, peer, owner }) =>
            state === "ESTAB" && peer.startsWith("127.0.0.1:") && owner.includes(`pid=${post.pids.kubelet},`),
        );
        return { client: client.length, master: master.length, kubelet: loopback.length };
      }

      for (const how of ["the command ends", "the client is killed"] as const) {
        it(`${how}: all three connections go, and the process in the container`, async () => {
          for (const kubectl of [oldest, newest]) {
            const idle = await counts();
            await using session = await sleepingSession(kubectl);
            const busy = await counts();
            assert.ok(busy.client > idle.client, `kubectl ${kubectl.version}`);
            assert.equal(busy.master, idle.master + 1);
            assert.equal(busy.kubelet, idle.kubelet + 1);
            if (how === "the client is killed") process.kill(session.pid, "SIGKILL");
            else session.terminal.write("\x03exit\n");
            await eventually(`back to ${JSON.stringify(idle)}`, async () => {
              return JSON.stringify(await counts()) === JSON.stringify(idle);
            });
            if (how === "the command ends" || variant.endsWithClient) await goes(session.sleeper);
          }
        });
      }
    });

    variant.more?.(() => post);

    it("P19 a kubelet with a wrong certificate is refused, and told nothing", async () => {
      const imposter = join(checkout, "e2e/imposter.ts");
      await using server = background(post.onWorker([process.execPath, imposter, postAddresses.worker]));
      await server.saw(/port \d+/);
      const port = Number(/port (\d+)/.exec(server.stdout())?.[1]);
      const node = {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name: "imposter" },
        status: {
          addresses: [{ type: "InternalIP", address: postAddresses.worker }],
          daemonEndpoints: { kubeletEndpoint: { Port: port } },
        },
      };
      const victim = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "victim" },
        spec: { nodeName: "imposter", containers: [{ name: "c", image: "nginx" }] },
      };
      await post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(node) });
      await post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(victim) });
      for (const kubectl of [oldest, newest]) {
        const { code, stderr } = await post.kubectl(["exec", "victim", "--", "true"], { kubectl });
        assert.equal(code, 1);
        assert.match(stderr, /x509: certificate signed by unknown authority/, `kubectl ${kubectl.version}`);
      }
      assert.doesNotMatch(server.output(), /request/, "the imposter saw no request");
      await post.mustKubectl(["delete", "pod", "victim", "--force", "--grace-period=0"]);
      await post.mustKubectl(["delete", "node", "imposter"]);
    });
  });
}

export { startPostLab };
