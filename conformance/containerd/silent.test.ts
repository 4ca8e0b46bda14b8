// A containerd that is there and says nothing (SIGSTOP): calls end, the node says so, and all goes on once it does.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node, Pod } from "@hawser/api";
import { background, eventually, kubectls, newestKubectl, run } from "@hawser/testing";
import { startContainerdCluster } from "./cluster.ts";
import { whyNoContainerd } from "./containerd.ts";

const skip = (await whyNoContainerd()) ?? false;

describe("a silent containerd", { skip }, () => {
  it("makes calls fail within their time and the node NotReady; what runs runs on, and the node recovers", async () => {
    await using cluster = await startContainerdCluster({
      // The last holds while it still answers too, on a machine that may be busy.
      ...{ runtimeRequestTimeout: 1000, nodeStatusUpdateFrequency: 500, streamPeerTimeout: 2000 },
    });
    const { client, containerd } = cluster;
    const readiness = async () => {
      const { status } = await client.get<Node>({ resource: "nodes", name: "worker" });
      return status?.conditions?.find(({ type }) => type === "Ready");
    };
    const ref = { resource: "pods", namespace: "default" };
    const { image } = containerd;
    const containers = [{ name: "c", image, imagePullPolicy: "IfNotPresent", command: ["sleep", "1000000"] }];
    const spec = { terminationGracePeriodSeconds: 0, containers };
    await client.create<Pod>(ref, { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec });
    const pod = () => client.get<Pod>({ ...ref, name: "p" });
    await eventually("it runs", async () => (await pod()).status?.phase === "Running");
    const { path } = await newestKubectl();
    const kubectl = (...args: string[]) => [path, `--kubeconfig=${cluster.kubeconfig}`, ...args];

    const [oldest] = await kubectls();
    await using open = background([
      oldest?.path ?? path,
      `--kubeconfig=${cluster.kubeconfig}`,
      "exec",
      "p",
      "--",
      "sh",
      "-c",
      "echo ready; sleep 1000000",
    ]);
    await using forward = background(kubectl("port-forward", "p", ":80"));
    await Promise.all([open.saw("ready"), forward.saw("Forwarding from")]);

    process.kill(containerd.pid, "SIGSTOP");
    try {
      const begin = performance.now();
      await using exec = background(kubectl("exec", "p", "--", "true"));
      const notReady = await eventually("the node is NotReady", async () => {
        const condition = await readiness();
        return condition?.status === "False" ? condition : undefined;
      });
      assert.match(notReady.message ?? "", /container runtime is down: .*(DeadlineExceeded|Deadline exceeded)/i);
      assert.notEqual((await exec.exit).code, 0);
      assert.match(exec.stderr(), /the container runtime has not answered in time \(DeadlineExceeded\)/);
      assert.equal((await open.exit).code, 1);
      assert.match(open.stderr(), /the container runtime has sent nothing, and answered no ping, for \d/);
      await forward.exit;
      assert.match(forward.stderr(), /lost connection to pod/);
      // A few seconds, on a machine that does nothing else. Unset a call would have two minutes.
      assert.ok(performance.now() - begin < 60_000, `${performance.now() - begin} ms`);
    } finally {
      process.kill(containerd.pid, "SIGCONT");
    }
    await eventually("the node is Ready", async () => (await readiness())?.status === "True");
    assert.equal((await run(kubectl("exec", "p", "--", "true"))).code, 0);
    const [status] = (await pod()).status?.containerStatuses ?? [];
    assert.deepEqual([status?.restartCount, status?.ready], [0, true]);
  });
});
