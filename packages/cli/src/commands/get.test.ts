import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Interrupted } from "../errors.ts";
import { commandLine } from "../testing/command-line.ts";
import { fakeApi, pod } from "../testing/fake-api.ts";

/** Resolves when stdout has shown `text`. */
function shown(stream: NodeJS.ReadableStream, text: string): Promise<void> {
  let seen = "";
  return new Promise((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      seen += chunk.toString("utf8");
      if (seen.includes(text)) resolve();
    });
  });
}

describe("hawser get", () => {
  it("shows names and ages where the server makes no tables", async () => {
    const created = { creationTimestamp: new Date(Date.now() - 65_000).toISOString() as unknown as string };
    await using server = await fakeApi({ pods: [pod("web", { metadata: { name: "web", ...created } })] });
    const { code, stdout } = await commandLine(["get", "pods"], { server: server.url }).result;
    assert.equal(code, 0);
    assert.match(stdout, /^NAME {3}AGE\nweb {4}6\ds\n$/);
  });

  it("-w lists, then tells changes until it is interrupted, which is a 1 as in kubectl", async () => {
    const stop = new AbortController();
    await using server = await fakeApi({ pods: [pod("web")] });
    const { result, terminal } = commandLine(["get", "pods", "-w", "-o", "name"], {
      server: server.url,
      signal: stop.signal,
    });
    await shown(terminal.stdout, "pod/web\n");
    const second = shown(terminal.stdout, "pod/db\n");
    // The watch is opened after the list was shown.
    while (!server.requests.some((line) => line.includes("watch=true")))
      await new Promise((resolve) => setImmediate(resolve));
    server.become({ apiVersion: "v1", kind: "Pod", metadata: { name: "db" } });
    await second;
    stop.abort(new Interrupted("SIGINT", 2));
    const { code, stdout, stderr } = await result;
    assert.deepEqual({ code, stdout, stderr }, { code: 1, stdout: "pod/web\npod/db\n", stderr: "" });
  });

  it("prints what it found before it tells what it did not", async () => {
    await using server = await fakeApi({ pods: [pod("web")] });
    const { code, stdout, stderr } = await commandLine(["get", "pods", "web", "nope", "-o", "name"], {
      server: server.url,
    }).result;
    assert.deepEqual(
      { code, stdout, stderr },
      { code: 1, stdout: "pod/web\n", stderr: 'Error from server (NotFound): pods "nope" not found\n' },
    );
  });

  it("follows the pages of a long list", async () => {
    await using server = await fakeApi({ pods: [pod("web")] });
    const { stdout } = await commandLine(["get", "pods", "--chunk-size=1", "-o", "name"], { server: server.url })
      .result;
    assert.equal(stdout, "pod/web\n");
    assert.deepEqual(server.requests, ["GET /api/v1/namespaces/default/pods?limit=1"]);
  });
});

describe("hawser delete", () => {
  it("waits until the pod is gone", async () => {
    await using server = await fakeApi({ pods: [pod("web")] });
    const { code, stdout } = await commandLine(["delete", "pod", "web", "--now"], { server: server.url }).result;
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'pod "web" deleted\n' });
    assert.deepEqual(server.bodies, [
      { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 1, propagationPolicy: "Background" },
    ]);
    assert.ok(server.requests.some((line) => line.startsWith("GET ")));
  });

  it("does not wait when it is told not to, and warns when it forces", async () => {
    await using server = await fakeApi({ pods: [pod("web")] });
    const argv = ["delete", "pod/web", "--force", "--wait=false"];
    const { stdout, stderr } = await commandLine(argv, { server: server.url }).result;
    assert.equal(stdout, 'pod "web" force deleted\n');
    assert.match(stderr, /^Warning: Immediate deletion does not wait/);
    assert.deepEqual(server.requests, ["DELETE /api/v1/namespaces/default/pods/web"]);
  });

  it("deletes all of a collection, one by one", async () => {
    await using server = await fakeApi({ pods: [pod("a"), pod("b")] });
    const { stdout } = await commandLine(["delete", "pods", "--all", "--wait=false"], { server: server.url }).result;
    assert.equal(stdout, 'pod "a" deleted\npod "b" deleted\n');
  });
});
