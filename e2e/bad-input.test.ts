// What can be asked wrongly: each ends in the message and exit code that the real system gives, within seconds, and
// leaves no process and no mount behind.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createCA } from "@hawser/pki";
import {
  type CommandResult,
  eventually,
  freePort,
  type Kubectl,
  kubectls,
  newestKubectl,
  processes,
  run,
} from "@hawser/testing";
import { mountsBelow } from "hawser";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";

/** Each answer has to come within this, milliseconds, on a machine that has other work. */
const seconds = 20_000;

describe("bad input", () => {
  let cluster: OwnCluster;
  let both: Kubectl[];
  before(async () => {
    both = [...(await kubectls()).slice(0, 1), await newestKubectl()];
    cluster = await startOwnCluster();
    await cluster.runPod("web", ["--image=nginx"]);
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const pod = (name: string, spec: object) =>
    JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec });
  const create = (text: string) => cluster.mustKubectl(["create", "-f", "-"], { input: text });

  async function fails(args: string[], code: number, stderr: RegExp): Promise<void> {
    for (const kubectl of both) {
      const result: CommandResult = await cluster.kubectl(args, { kubectl });
      const what = `kubectl ${kubectl.version} ${args.join(" ")}`;
      assert.equal(result.code, code, `${what}: ${result.stderr}`);
      assert.match(result.stderr, stderr, what);
      assert.ok(result.milliseconds < seconds, `${what} took ${result.milliseconds} ms`);
    }
  }

  it("an unknown pod", () =>
    fails(["exec", "nope", "--", "true"], 1, /^Error from server \(NotFound\): pods "nope" not found\n$/));
  it("an unknown namespace, asked for a pod", () =>
    fails(
      ["-n", "nope", "exec", "web", "--", "true"],
      1,
      /^Error from server \(NotFound\): (namespaces "nope"|pods "web") not found\n$/,
    ));
  it("an unknown namespace, given a pod", () =>
    fails(
      ["-n", "nope", "run", "x", "--image=nginx"],
      1,
      /^Error from server \(NotFound\): namespaces "nope" not found\n$/,
    ));
  it("an unknown container", () =>
    fails(
      ["exec", "web", "-c", "nope", "--", "true"],
      1,
      /^(Error from server \(BadRequest\): container nope is not valid for pod web|error: container nope not found in pod web)\n$/,
    ));

  it("a pod on an unknown node", async () => {
    await create(pod("ghost", { nodeName: "ghost-node", containers: [{ name: "c", image: "nginx" }] }));
    await fails(["exec", "ghost", "--", "true"], 1, /nodes "ghost-node" not found/);
    await cluster.mustKubectl(["delete", "pod", "ghost", "--force", "--grace-period=0", "--ignore-not-found"]);
  });

  it("a pod not yet scheduled", async () => {
    await create(pod("waiting", { nodeSelector: { no: "where" }, containers: [{ name: "c", image: "nginx" }] }));
    await fails(
      ["exec", "waiting", "--", "true"],
      1,
      /^Error from server \(BadRequest\): pod waiting does not have a host assigned\n$/,
    );
    await cluster.mustKubectl(["delete", "pod", "waiting", "--now"]);
  });

  it("a container that is not running", async () => {
    await create(pod("pulling", { containers: [{ name: "c", image: "127.0.0.1:1/nothing:latest" }] }));
    await eventually(
      "the pod is on its node",
      async () => (await cluster.mustKubectl(["get", "pod", "pulling", "-o", "jsonpath={.spec.nodeName}"])) !== "",
    );
    await fails(["exec", "pulling", "--", "true"], 1, /container not found \("c"\)/);
    await cluster.mustKubectl(["delete", "pod", "pulling", "--now"]);
  });

  // Before the next test: what is pulled once is not asked for again.
  it("a registry that is not there, answers 401, 404, or a layer that is not what it should be", async () => {
    const failing = createServer((request, response) => {
      if (request.url?.includes("/locked/")) {
        response
          .writeHead(401, { "WWW-Authenticate": 'Basic realm="x"' })
          .end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      } else {
        response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
      }
    });
    await new Promise<void>((resolve) => failing.listen(0, "127.0.0.1", resolve));
    const address = failing.address();
    const host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    const corrupt = await corruptRegistry(cluster);
    try {
      for (const [name, image, why] of [
        ["nobody", `127.0.0.1:${await freePort()}/x:latest`, /connection refused/],
        ["locked", `${host}/locked/x:latest`, /401|authori[sz]ation failed|unauthorized|authentication required/i],
        ["missing", `${host}/missing/x:latest`, /not found|manifest unknown/i],
        ["corrupt", `${corrupt.host}/library/busybox:latest`, /digest|checksum|sha256|unexpected/i],
        ["senseless", "docker.io/library/UPPER:latest", /invalid reference format|InvalidImageName|couldn't parse/i],
      ] as const) {
        const begin = performance.now();
        await create(pod(name, { containers: [{ name: "c", image }] }));
        const waiting = await eventually(`${name} says why`, async () => {
          const found = JSON.parse(await cluster.mustKubectl(["get", "pod", name, "-o", "json"]));
          const state = found.status?.containerStatuses?.[0]?.state?.waiting;
          return /ErrImagePull|InvalidImageName/.test(state?.reason ?? "") || state?.reason === "ImagePullBackOff"
            ? state
            : undefined;
        });
        assert.ok(performance.now() - begin < seconds);
        const events = await eventually(`an event of ${name}`, async () => {
          const text = await cluster.mustKubectl(["get", "events", "--field-selector", `involvedObject.name=${name}`]);
          return /Failed|InspectFailed/.test(text) ? text : undefined;
        });
        assert.match(`${waiting.message}\n${events}`, why, name);
        await cluster.mustKubectl(["delete", "pod", name, "--now"]);
      }
    } finally {
      failing.close();
      await corrupt[Symbol.asyncDispose]();
    }
  });

  it("a pod that has completed", async () => {
    await create(
      pod("done", { restartPolicy: "Never", containers: [{ name: "c", image: "busybox", command: ["true"] }] }),
    );
    await eventually(
      "it has succeeded",
      async () => (await cluster.mustKubectl(["get", "pod", "done", "-o", "jsonpath={.status.phase}"])) === "Succeeded",
    );
    await fails(
      ["exec", "done", "--", "true"],
      1,
      /cannot exec into a container in a completed pod; current phase is Succeeded/,
    );
    await fails(["attach", "done"], 1, /cannot attach a container in a completed pod; current phase is Succeeded/);
  });

  it("a command that does not exist, and one that is not executable", async () => {
    await fails(["exec", "web", "--", "no-such-program"], 127, /command terminated with exit code 127/);
    await fails(["exec", "web", "--", "/etc/passwd"], 126, /command terminated with exit code 126/);
  });

  it("nobody in particular: without credentials, with a wrong token, with a certificate of another CA", async () => {
    const admin = JSON.parse(await cluster.mustKubectl(["config", "view", "--raw", "-o", "json"]));
    const { cluster: server } = admin.clusters[0];
    const other = await createCA({ commonName: "another" });
    const as = async (name: string, user: object, change: object = {}) => {
      const path = join(cluster.dataDir, "..", `${name}.kubeconfig`);
      const config = {
        ...admin,
        clusters: [{ name: "c", cluster: { ...server, ...change } }],
        users: [{ name: "u", user }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        "current-context": "x",
      };
      await writeFile(path, JSON.stringify(config));
      const kubectl = await newestKubectl();
      return run([kubectl.path, `--kubeconfig=${path}`, "get", "pods"], {
        env: { HOME: join(cluster.dataDir, "..") },
        input: "",
      });
    };
    const wrongToken = await as("token", { token: "wrong" });
    assert.equal(wrongToken.code, 1);
    assert.match(
      wrongToken.stderr,
      /error: You must be logged in to the server \((Unauthorized|the server has asked for the client to provide credentials)\)/,
    );
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const foreign = await as("foreign", {
      "client-certificate-data": base64(other.certPEM),
      "client-key-data": base64(other.keyPEM),
    });
    assert.equal(foreign.code, 1);
    assert.match(
      foreign.stderr,
      /Unauthorized|unknown certificate authority|bad certificate|asked for the client to provide credentials/,
    );
    const untrusted = await as("untrusted", admin.users[0].user, {
      "certificate-authority-data": base64(other.certPEM),
    });
    assert.equal(untrusted.code, 1);
    assert.match(untrusted.stderr, /x509: certificate signed by unknown authority/);
  });

  it("a kubelet that is down", async () => {
    const pid = Number(JSON.parse(await readFile(join(cluster.paths.run, "kubelet.pid"), "utf8")).pid);
    process.kill(pid, "SIGKILL");
    await eventually("it is gone", async () => !(await processes()).some((row) => row.pid === pid));
    const words = new RegExp(`dial tcp \\S+:${cluster.kubeletPort}: connect: connection refused`);
    await fails(["exec", "web", "--", "true"], 1, words);
    await fails(["logs", "web"], 1, words);
    const { up } = await import("hawser");
    assert.deepEqual((await up({ dataDir: cluster.dataDir })).started, ["kubelet"]);
    assert.equal(await cluster.mustKubectl(["exec", "web", "--", "echo", "back"]), "back\n");
  });

  it("and after all of it: one pod's processes and mounts, and no more", async () => {
    await cluster.mustKubectl(["delete", "pods", "--all", "--now"]);
    await eventually("no pod is left", async () => (await cluster.mustKubectl(["get", "pods"])) === "");
    const left = async () =>
      (await processes()).filter(
        ({ args }) => /conmon|crun|runc|catatonit|nginx:/.test(args) && args.includes(cluster.dataDir),
      );
    await eventually("no container's process is left", async () => (await left()).length === 0);
    await eventually("no container's mount is left", async () => {
      return (
        (await mountsBelow(cluster.paths.runtimeRoot)).filter((point) => point.includes("/containers/")).length === 0
      );
    });
  });
});

/** A registry whose busybox has a layer that was damaged on its disk. */
async function corruptRegistry({ registry }: OwnCluster): Promise<{ host: string } & AsyncDisposable> {
  const server = createServer(async (request, response) => {
    try {
      const answer = await fetch(`http://${registry.host}${request.url}`, {
        headers: { Accept: request.headers.accept ?? "*/*" },
      });
      const body = Buffer.from(await answer.arrayBuffer());
      // Of each large blob, one byte is not what it was; its length and the name it goes by are.
      if (request.url?.includes("/blobs/") && body.length > 100_000)
        body.writeUInt8(body.readUInt8(50_000) ^ 1, 50_000);
      const type = answer.headers.get("content-type") ?? "application/octet-stream";
      response.writeHead(answer.status, { "Content-Type": type, "Content-Length": body.length }).end(body);
    } catch (err) {
      response.writeHead(502).end(String(err));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    host: `127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
