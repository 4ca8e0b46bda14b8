// Copies into and out of containers that the genuine containerd runs: with their tar, and with none, which only our runtime can do without.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pod } from "@hawser/api";
import { copyFrom, copyTo } from "@hawser/client";
import { eventually } from "@hawser/testing";
import { type ContainerdCluster, startContainerdCluster } from "./cluster.ts";
import { whyNoContainerd } from "./containerd.ts";

const skip = (await whyNoContainerd()) ?? false;

describe("cp over containerd", { skip }, () => {
  let cluster: ContainerdCluster;
  let folder: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "hawser-cp-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    cluster = stack.use(await startContainerdCluster());
    for (const [name, script] of [
      ["with", "sleep 1000"],
      ["without", "rm /bin/tar; sleep 1000"],
    ] as const) {
      const { image } = cluster.containerd;
      const container = { name: "c", image, imagePullPolicy: "IfNotPresent" as const, command: ["sh", "-c", script] };
      const pod: Pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default" },
        spec: { terminationGracePeriodSeconds: 0, containers: [container] },
      };
      await cluster.client.create<Pod>({ resource: "pods", namespace: "default" }, pod);
    }
    for (const name of ["with", "without"]) {
      await eventually(`${name} runs`, async () => {
        const { status } = await cluster.client.get<Pod>({ resource: "pods", namespace: "default", name });
        return status?.phase === "Running";
      });
    }
  });
  after(() => stack.disposeAsync());
  const at = (pod: string) => ({ namespace: "default", pod });

  test("a directory goes in and comes back as it was", async () => {
    const here = path.join(folder, "tree");
    await mkdir(path.join(here, "sub"), { recursive: true });
    const content = randomBytes(5_000_000);
    await writeFile(path.join(here, "sub/large"), content);
    await chmod(path.join(here, "sub/large"), 0o640);
    await utimes(path.join(here, "sub/large"), 1_600_000_000, 1_600_000_000);
    await copyTo(cluster.client, { ...at("with"), from: here, path: "/tmp/tree" });
    const back = path.join(folder, "back");
    const result = await copyFrom(cluster.client, { ...at("with"), path: "/tmp/tree", to: back });
    assert.deepEqual(result, { files: 1, directories: 2, links: 0, skipped: 0, bytes: 5_000_000 });
    assert.ok((await readFile(path.join(back, "sub/large"))).equals(content));
    const { mode, mtimeMs } = await stat(path.join(back, "sub/large"));
    assert.deepEqual([mode & 0o777, mtimeMs], [0o640, 1_600_000_000_000]);
  });

  test("a container without tar is told of, both ways", async () => {
    const from = path.join(folder, "file");
    await writeFile(from, "x");
    const no = { code: "no-tar", message: 'pod "without" has no tar, and its node\'s runtime cannot copy without one' };
    await assert.rejects(copyTo(cluster.client, { ...at("without"), from, path: "/tmp/x" }), no);
    await assert.rejects(copyFrom(cluster.client, { ...at("without"), path: "/etc/passwd", to: `${from}-2` }), no);
  });
});
