import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitStatus, type Pod } from "@hawser/api";
import type { ServerSession } from "@hawser/streaming";
import { Interrupted } from "../errors.ts";
import { bytes } from "../testing/bytes.ts";
import { commandLine } from "../testing/command-line.ts";
import { fakeApi } from "../testing/fake-api.ts";

function running(pod: Pod): Pod {
  return { ...pod, status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] } };
}

function ended(pod: Pod, exitCode: number): Pod {
  const terminated = { exitCode, reason: exitCode === 0 ? "Completed" : "Error" };
  const container = { name: "x", image: "i", imageID: "", ready: false, restartCount: 0, state: { terminated } };
  return { ...pod, status: { phase: exitCode === 0 ? "Succeeded" : "Failed", containerStatuses: [container] } };
}

describe("hawser run", () => {
  it("creates the pod kubectl would", async () => {
    await using server = await fakeApi();
    const argv = [
      "run",
      "x",
      "--image=nginx",
      "--env",
      "A=b=c",
      "--port=80",
      "-l",
      "a=b,c=d",
      "--command",
      "--",
      "sleep",
      "5",
    ];
    const { code, stdout, stderr } = await commandLine(argv, { server: server.url }).result;
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "pod/x created\n", stderr: "" });
    assert.deepEqual(server.requests, ["POST /api/v1/namespaces/default/pods?fieldManager=kubectl-run"]);
    const [sent] = server.bodies as [{ spec: { containers: unknown[] }; metadata: { labels: unknown } }];
    assert.deepEqual(sent.metadata.labels, { a: "b", c: "d" });
    assert.deepEqual(sent.spec.containers, [
      {
        name: "x",
        image: "nginx",
        command: ["sleep", "5"],
        env: [{ name: "A", value: "b=c" }],
        ports: [{ containerPort: 80 }],
        resources: {},
      },
    ]);
  });

  it("attaches, shows what was written before, ends with the container's code, and removes the pod", async () => {
    await using server = await fakeApi({
      onCreate: (pod, become) => become(running(pod)),
      log: (_, response) => response.end("first\nsecond\n"),
      async session(session: ServerSession, url) {
        assert.match(url.pathname, /attach$/);
        await session.stdout?.write(bytes("second\n"));
        for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
        server.become(ended({ metadata: { name: "x" } }, 3));
        await session.finish(exitStatus(0));
      },
    });
    const argv = ["run", "x", "--image=i", "-i", "--rm", "--restart=Never", "--", "cat"];
    const { code, stdout, stderr } = await commandLine(argv, { server: server.url, input: "third\n" }).result;
    assert.equal(stdout, 'first\nsecond\nthird\npod "x" deleted\n');
    assert.equal(stderr, "If you don't see a command prompt, try pressing enter.\npod default/x terminated (Error)\n");
    assert.equal(code, 3);
    assert.ok(server.requests.some((line) => line.startsWith("DELETE ")));
  });

  it("shows the log of a pod that was over before it could be attached to", async () => {
    await using server = await fakeApi({
      onCreate: (pod, become) => become(ended(pod, 0)),
      log: (url, response) => response.end(`log of ${url.searchParams.get("container")}\n`),
    });
    const { code, stdout, stderr } = await commandLine(["run", "x", "--image=i", "--attach", "--restart=Never"], {
      server: server.url,
    }).result;
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "log of x\n", stderr: "" });
  });

  it("falls back to the log when it cannot attach", async () => {
    await using server = await fakeApi({
      onCreate: (pod, become) => become(running(pod)),
      log: (_, response) => {
        response.end("from the log\n");
        server.become(ended({ metadata: { name: "x" } }, 0));
      },
      upgrade({ socket }) {
        socket.resume().end("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\ngone");
        return true;
      },
    });
    const { code, stdout, stderr } = await commandLine(["run", "x", "--image=i", "--attach", "--restart=Never", "-q"], {
      server: server.url,
    }).result;
    assert.equal(stdout, "from the log\n");
    assert.equal(
      stderr,
      "warning: couldn't attach to pod/x, falling back to streaming logs: unable to upgrade connection: gone\n",
    );
    assert.equal(code, 0);
  });

  it("removes the pod also when a signal ends it", async () => {
    const stop = new AbortController();
    await using server = await fakeApi({ onCreate: () => stop.abort(new Interrupted("SIGINT", 2)) });
    const { code, stdout } = await commandLine(["run", "x", "--image=i", "-i", "--rm"], {
      server: server.url,
      signal: stop.signal,
    }).result;
    assert.equal(code, 130);
    assert.ok(
      server.requests.some((line) => line.startsWith("DELETE ")),
      server.requests.join("\n"),
    );
    assert.equal(stdout, 'pod "x" deleted\n');
  });

  it("gives up on a pod that never runs", async () => {
    await using server = await fakeApi();
    const argv = ["run", "x", "--image=i", "--attach", "--pod-running-timeout=20ms"];
    const { code, stderr } = await commandLine(argv, { server: server.url }).result;
    assert.deepEqual({ code, stderr }, { code: 1, stderr: "error: timed out waiting for the condition\n" });
  });
});
