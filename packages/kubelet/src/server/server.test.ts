import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import path from "node:path";
import { test } from "node:test";
import { createStreamingServer } from "@hawser/cri";
import { createCA, issueCertificate } from "@hawser/pki";
import { openPortForward, openRemoteCommand } from "@hawser/streaming";
import { collect } from "@hawser/streaming/testing";
import { startTestKubelet, type TestKubelet, testContainer, testPod } from "../testing/test-kubelet.ts";
import { startServer } from "./server.ts";

const ca = await createCA({ commonName: "test" });
const otherCA = await createCA({ commonName: "other" });
const serving = await issueCertificate({ ca, commonName: "worker", ipAddresses: ["127.0.0.1"], usages: ["server"] });
const admin = await issueCertificate({
  ca,
  commonName: "admin",
  organizations: ["system:masters"],
  usages: ["client"],
});
const stranger = await issueCertificate({
  ca: otherCA,
  commonName: "admin",
  organizations: ["system:masters"],
  usages: ["client"],
});
const reader = await issueCertificate({ ca, commonName: "reader", usages: ["client"] });

interface Review {
  spec: {
    user?: string;
    token?: string;
    groups?: string[];
    resourceAttributes?: { verb: string; subresource: string; resource: string; name: string };
  };
}

interface Served extends AsyncDisposable {
  kubelet: TestKubelet;
  port: number;
  reviews: Review["spec"][];
  ask(
    target: string,
    options?: https.RequestOptions,
  ): Promise<{ code: number; body: string; headers: IncomingMessage["headers"] }>;
  tls(identity: { certPEM: string; keyPEM: string }): { ca: string; cert: string; key: string };
}

/** A kubelet's server: `admin` may do all, `reader` and the token `good` may only get; streams end in a real streaming server. */
async function serve(): Promise<Served> {
  const stack = new AsyncDisposableStack();
  const kubelet = stack.use(await startTestKubelet());
  const reviews: Review["spec"][] = [];
  const client = {
    ...kubelet.context.client,
    async request({ path: place, body }: { path: string; body?: unknown }) {
      const { spec } = body as Review;
      reviews.push(spec);
      if (place.endsWith("/tokenreviews")) {
        return {
          status: spec.token === "good" ? { authenticated: true, user: { username: "robot", groups: ["bots"] } } : {},
        };
      }
      return { status: { allowed: spec.user === "admin" || spec.resourceAttributes?.verb === "get" } };
    },
  };
  const streaming = createStreamingServer({
    runtime: {
      async exec({ cmd }, session) {
        if (session.stdin) for await (const chunk of session.stdin) await session.stdout?.write(chunk);
        await session.stdout?.write(Buffer.from(cmd.join(" ")));
        return 4;
      },
      async attach(_request, session) {
        await session.stdout?.write(Buffer.from("attached"));
      },
      async portForward(_sandbox, port) {
        async function* source() {
          yield Buffer.from(`port ${port}`);
        }
        return { source: source(), sink: { write: async () => {}, close: async () => {}, abort: async () => {} } };
      },
    },
  });
  await streaming.start();
  stack.defer(() => streaming.stop());
  kubelet.fake.runtime.exec = async (request) => streaming.getExec(request);
  kubelet.fake.runtime.attach = async (request) => streaming.getAttach(request);
  kubelet.fake.runtime.portForward = async (request) => streaming.getPortForward(request);
  const settings = { ...kubelet.context.settings, port: 0, address: "127.0.0.1" };
  const context = { ...kubelet.context, client, settings };
  const certificate = { ...serving, clientCA: ca.certPEM };
  const server = stack.use(await startServer(context, { pods: kubelet.pods, certificate }));
  const tls = ({ certPEM, keyPEM }: { certPEM: string; keyPEM: string }) => ({
    ca: ca.certPEM,
    cert: certPEM,
    key: keyPEM,
  });
  return {
    kubelet,
    port: server.port,
    reviews,
    tls,
    async ask(target, options = {}) {
      const request = https.request(`https://127.0.0.1:${server.port}${target}`, {
        agent: false,
        ...tls(admin),
        ...options,
      });
      request.end();
      const [answer] = (await once(request, "response")) as [IncomingMessage];
      const parts: Buffer[] = [];
      for await (const chunk of answer as AsyncIterable<Buffer>) parts.push(chunk);
      return { code: answer.statusCode ?? 0, body: Buffer.concat(parts).toString(), headers: answer.headers };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function withPod(served: Served): Promise<void> {
  served.kubelet.api.put(testPod("web"));
  await served.kubelet.api.until("web", ({ phase }) => phase === "Running");
}

test("a command may be as long as the kernel allows", async () => {
  await using served = await serve();
  await withPod(served);
  const text = "x".repeat(500_000);
  const { port, tls } = served;
  const url = new URL(`https://127.0.0.1:${port}/exec/default/web/c?command=echo&command=${text}&output=1`);
  await using session = await openRemoteCommand(
    { url, tls: tls(admin) },
    { stdin: false, stdout: true, stderr: false, tty: false },
  );
  assert.ok(session.stdout);
  assert.equal((await collect(session.stdout)).toString(), `echo ${text}`);
});

test("nobody is anonymous; a certificate of another CA and an unknown token are nobody", async () => {
  await using served = await serve();
  for (const options of [
    { cert: undefined, key: undefined },
    served.tls(stranger),
    { cert: undefined, key: undefined, headers: { Authorization: "Bearer bad" } },
  ]) {
    for (const target of ["/pods", "/exec/default/web/c", "/healthz", "/nothing"]) {
      const { code, body } = await served.ask(target, { ...options, ca: ca.certPEM });
      assert.deepEqual([code, body], [401, "Unauthorized\n"], target);
    }
  }
});

test("a known caller is asked about once, and refused in the kubelet's words", async () => {
  await using served = await serve();
  const headers = { Authorization: "Bearer good" };
  const anonymous = { cert: undefined, key: undefined, ca: ca.certPEM, headers };
  for (let time = 0; time < 2; time++) assert.equal((await served.ask("/pods", anonymous)).code, 200);
  assert.equal(served.reviews.length, 2, "one TokenReview, one SubjectAccessReview");
  assert.deepEqual(served.reviews[1]?.resourceAttributes, {
    verb: "get",
    version: "v1",
    resource: "nodes",
    subresource: "pods",
    name: "worker",
  });
  const refused = await served.ask("/run/default/web/c", { ...anonymous, method: "POST" });
  assert.equal(refused.code, 403);
  assert.equal(refused.body, "Forbidden (user=robot, verb=create, resource=nodes, subresource(s)=[proxy])\n");
});

test("to read is not enough for exec, attach, run and portForward, also by GET", async () => {
  await using served = await serve();
  await withPod(served);
  const url = (target: string) => new URL(`https://127.0.0.1:${served.port}${target}`);
  for (const transport of ["websocket", "spdy"] as const) {
    const target = { url: url("/exec/default/web/c?command=id&output=1"), tls: served.tls(reader) };
    const options = { stdin: false, stdout: true, stderr: false, tty: false, transports: [transport] };
    await assert.rejects(openRemoteCommand(target, options), /Forbidden \(user=reader, verb=create/);
  }
});

test("exec, attach and port-forward over both transports, spliced or translated", async () => {
  await using served = await serve();
  await withPod(served);
  const tls = served.tls(admin);
  const base = `https://127.0.0.1:${served.port}`;
  for (const transport of ["websocket", "spdy"] as const) {
    const streams = { stdin: true, stdout: true, stderr: true, tty: false, transports: [transport] };
    const url = new URL(`${base}/exec/default/web/c?command=a&command=b&input=1&output=1&error=1`);
    await using session = await openRemoteCommand({ url, tls }, streams);
    await session.stdin?.write(Buffer.from("input "));
    await session.stdin?.close();
    assert.ok(session.stdout && session.stderr);
    const [text] = await Promise.all([collect(session.stdout), collect(session.stderr)]);
    assert.equal(text.toString(), "input a b");
    assert.equal((await session.status).details?.causes?.[0]?.message, "4");

    const attach = new URL(`${base}/attach/default/web/uid-web/c?output=1`);
    await using attached = await openRemoteCommand({ url: attach, tls }, { ...streams, stdin: false, stderr: false });
    assert.ok(attached.stdout);
    assert.equal((await collect(attached.stdout)).toString(), "attached");
    await attached.status;

    const forward = new URL(`${base}/portForward/default/web`);
    await using forwarded = await openPortForward({ url: forward, tls }, { transports: [transport] });
    const { source, sink } = await forwarded.connect(80);
    assert.equal((await collect(source)).toString(), "port 80");
    await sink.close();
  }
});

test("refusals before the upgrade, with the real codes and texts", async () => {
  await using served = await serve();
  await withPod(served);
  const upgrade = { Connection: "Upgrade", Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io" };
  const cases: [target: string, options: https.RequestOptions, code: number, body: string][] = [
    ["/exec/default/none/c?command=id&output=1", { method: "POST", headers: upgrade }, 404, "pod does not exist\n"],
    [
      "/exec/default/web/none?command=id&output=1",
      { method: "POST", headers: upgrade },
      500,
      'container not found ("none")\n',
    ],
    [
      "/exec/default/web/other-uid/c?command=id&output=1",
      { method: "POST", headers: upgrade },
      404,
      "pod does not exist\n",
    ],
    [
      "/exec/default/web/c?command=id",
      { method: "POST", headers: upgrade },
      400,
      "you must specify at least 1 of stdin, stdout, stderr\n",
    ],
    ["/portForward/default/web?port=0", { method: "POST", headers: upgrade }, 400, 'unable to parse "0" as a port\n'],
    ["/exec/default/web/c?command=id&output=1", {}, 400, "Upgrade request required\n"],
    ["/attach/default/web/c?output=1", { method: "POST" }, 400, "Upgrade request required\n"],
    ["/portForward/default/web", {}, 400, "Upgrade request required\n"],
    ["/exec/default/none/c", {}, 400, "you must specify at least 1 of stdin, stdout, stderr\n"],
    ["/exec/default/none/c?output=1", {}, 404, "pod does not exist\n"],
    ["/attach/default/web/none?output=1", {}, 500, 'container not found ("none")\n'],
    ["/portForward/default/none?port=x", {}, 400, 'unable to parse "x" as a port\n'],
    ["/portForward/default/none", {}, 404, "pod does not exist\n"],
    ["/exec/default/web/c?command=id&output=1", { method: "PUT" }, 405, "405: Method Not Allowed\n"],
    ["/nothing", {}, 404, "404 page not found\n"],
    ["/exec/default/web", {}, 404, "404 page not found\n"],
  ];
  for (const [target, options, code, body] of cases) {
    const answer = await served.ask(target, options);
    assert.deepEqual([answer.code, answer.body], [code, body], target);
  }
  const pods = await served.ask("/pods", { method: "POST" });
  assert.deepEqual([pods.code, pods.headers.allow], [405, "GET, HEAD"]);
});

test("a command of /run ends with its caller", { timeout: 10_000 }, async () => {
  await using served = await serve();
  await withPod(served);
  const begun = Promise.withResolvers<AbortSignal>();
  served.kubelet.fake.execSync = async (_request, signal) => {
    begun.resolve(signal);
    await once(signal, "abort");
    return {};
  };
  const caller = new AbortController();
  const asked = served.ask("/run/default/web/c?cmd=sleep", { method: "POST", signal: caller.signal });
  const signal = await begun.promise;
  caller.abort();
  await assert.rejects(asked, { name: "AbortError" });
  if (!signal.aborted) await once(signal, "abort");
});

test("metrics are for those who may get nodes/metrics", async () => {
  await using served = await serve();
  const certificate = served.tls(reader);
  const { code, body, headers } = await served.ask("/metrics", certificate);
  assert.deepEqual([code, headers["content-type"]], [200, "text/plain; version=0.0.4; charset=utf-8"]);
  assert.match(body, /^# TYPE test_operations_total counter$/m);
  assert.deepEqual(served.reviews.at(-1)?.resourceAttributes, {
    verb: "get",
    version: "v1",
    resource: "nodes",
    subresource: "metrics",
    name: served.kubelet.context.settings.nodeName,
  });
  const nobody = await served.ask("/metrics", { cert: undefined, key: undefined });
  assert.deepEqual([nobody.code, nobody.body], [401, "Unauthorized\n"]);
  const posted = await served.ask("/metrics", { ...certificate, method: "POST" });
  assert.equal(posted.code, 403, "who may get may not create");
});

test("run, pods, runningpods, healthz, metrics, configz", async () => {
  await using served = await serve();
  await withPod(served);
  served.kubelet.fake.execSync = ({ cmd }) => ({
    stdout: Buffer.from(cmd.join("|")),
    exitCode: cmd[0] === "bad" ? 2 : 0,
  });
  const ran = await served.ask("/run/default/web/c?cmd=ls%20-l", { method: "POST" });
  assert.deepEqual([ran.code, ran.body], [200, "ls|-l"]);
  const bad = await served.ask("/run/default/web/c?cmd=bad", { method: "POST" });
  assert.deepEqual([bad.code, bad.body], [500, "command 'bad' exited with 2: bad\n"]);
  const pods = JSON.parse((await served.ask("/pods")).body);
  assert.equal(pods.kind, "PodList");
  assert.equal(pods.items[0].status.phase, "Running");
  const running = JSON.parse((await served.ask("/runningpods/")).body);
  assert.equal(running.items[0].spec.containers[0].name, "c");
  assert.equal((await served.ask("/healthz")).body, "ok");
  assert.match((await served.ask("/metrics")).body, /hawser|test_operations_total/);
  assert.equal(JSON.parse((await served.ask("/configz")).body).kubeletconfig.nodeName, "worker");
});

test("containerLogs: whole, tail, times, previous, and why there is nothing", async () => {
  await using served = await serve();
  await withPod(served);
  const { kubelet } = served;
  const folder = path.join(kubelet.folder, "logs/default_web_uid-web/c");
  await mkdir(folder, { recursive: true });
  const line = (n: number, text: string) => `2026-01-02T03:04:0${n}.000000000Z stdout ${text}\n`;
  await writeFile(path.join(folder, "0.log"), line(1, "F one") + line(2, "P tw") + line(2, "F o") + line(3, "F three"));
  const logs = async (query: string) => (await served.ask(`/containerLogs/default/web/c?${query}`)).body;
  assert.equal(await logs(""), "one\ntwo\nthree\n");
  assert.equal(await logs("tailLines=1"), "three\n");
  assert.equal(await logs("limitBytes=5"), "one\nt");
  assert.equal(await logs("timestamps=true&tailLines=1"), "2026-01-02T03:04:03.000000000Z three\n");
  assert.equal(await logs("sinceTime=2026-01-02T03:04:03Z"), "three\n");
  assert.equal(await logs("previous=true"), 'previous terminated container "c" in pod "web" not found\n');
  assert.equal((await served.ask("/containerLogs/default/web/none")).body, 'container "none" not found in pod "web"\n');
  assert.equal((await served.ask("/containerLogs/default/none/c")).body, 'pod "none" does not exist\n');
  kubelet.fake.intercept = (method) => (method === "PullImage" ? new Promise(() => {}) : undefined);
  kubelet.api.put(testPod("slow", { containers: [testContainer("c", { image: "slow:1" })] }));
  await kubelet.api.until("slow", ({ containerStatuses }) => containerStatuses !== undefined);
  const waiting = await served.ask("/containerLogs/default/slow/c");
  assert.deepEqual(
    [waiting.code, waiting.body],
    [400, 'container "c" in pod "slow" is waiting to start: ContainerCreating\n'],
  );
  kubelet.api.delete("slow", 0);
  await kubelet.api.gone("slow");
});
