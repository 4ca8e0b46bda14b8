// Which container, which address, which kubelet: what the API server decides before an exec leaves it (P5, P6, P19).
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { background, checkout, must, postAddresses } from "@hawser/testing";
import { pod, type Scene } from "./post-scene.ts";

export function whichContainer(scene: Scene): void {
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
      return JSON.parse(await must(scene.post.onClient([process.execPath, script, scene.post.paths.kubeconfig, path])));
    }
    before(async () => {
      await scene.post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(two) });
      await scene.post.mustKubectl(["wait", "--for=condition=Ready", "pod/two", "--timeout=60s"]);
    });
    after(async () => {
      await scene.post.mustKubectl(["delete", "pod", "two", "unscheduled", "--ignore-not-found", "--now"]);
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
      for (const kubectl of [scene.oldest, scene.newest]) {
        const { stdout, stderr } = await scene.post.kubectl(["exec", "two", "--", "cat", "/name"], { kubectl });
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
      assert.equal(await scene.post.mustKubectl(["exec", "two", "-c", "second", "--", "cat", "/name"]), "second\n");
      const { statusCode, body } = await askedRaw(
        "/api/v1/namespaces/default/pods/two/exec?command=true&stdout=1&container=third",
      );
      assert.equal(statusCode, 400);
      assert.equal(JSON.parse(body).message, "container third is not valid for pod two");
    });

    it("no host assigned: 400 with the real message", async () => {
      const overrides = JSON.stringify({ spec: { nodeSelector: { no: "where" } } });
      await scene.post.mustKubectl(["run", "unscheduled", "--image=nginx", `--overrides=${overrides}`]);
      const { code, stderr } = await scene.post.kubectl(["exec", "unscheduled", "--", "true"]);
      assert.equal(stderr, "Error from server (BadRequest): pod unscheduled does not have a host assigned\n");
      assert.equal(code, 1);
    });
  });
}

export function whichAddress(scene: Scene): void {
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
      const begin = (await scene.post.log("apiserver")).length;
      await scene.post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(node(name, status)) });
      await scene.post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(onNode(name)) });
      const { code, stderr } = await scene.post.kubectl(["exec", `on-${name}`, "--", "true"], {
        kubectl: scene.oldest,
      });
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`dial tcp 192\\.168\\.205\\.1:${want}: connect: connection refused`));
      const text = (await scene.post.log("apiserver")).slice(begin);
      assert.ok(text.includes(`https://192.168.205.1:${want}/exec/default/on-${name}/c?command=true`), text);
      await scene.post.mustKubectl(["delete", "pod", `on-${name}`, "--force", "--grace-period=0"]);
      await scene.post.mustKubectl(["delete", "node", name]);
    }
  });
}

export function wrongCertificate(scene: Scene): void {
  it("P19 a kubelet with a wrong certificate is refused, and told nothing", async () => {
    const imposter = join(checkout, "e2e/imposter.ts");
    await using server = background(scene.post.onWorker([process.execPath, imposter, postAddresses.worker]));
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
    await scene.post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(node) });
    await scene.post.mustKubectl(["create", "-f", "-"], { input: JSON.stringify(victim) });
    for (const kubectl of [scene.oldest, scene.newest]) {
      const { code, stderr } = await scene.post.kubectl(["exec", "victim", "--", "true"], { kubectl });
      assert.equal(code, 1);
      assert.match(stderr, /x509: certificate signed by unknown authority/, `kubectl ${kubectl.version}`);
    }
    assert.doesNotMatch(server.output(), /request/, "the imposter saw no request");
    await scene.post.mustKubectl(["delete", "pod", "victim", "--force", "--grace-period=0"]);
    await scene.post.mustKubectl(["delete", "node", "imposter"]);
  });
}
