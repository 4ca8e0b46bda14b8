import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { exitStatus } from "@hawser/api";
import { openRemoteCommand } from "@hawser/streaming";
import { collect } from "@hawser/streaming/testing";
import { AttachRequestSchema, ExecRequestSchema, PortForwardRequestSchema } from "../gen/cri_pb.ts";
import { maxInFlight, RequestCache } from "./request-cache.ts";
import { createStreamingServer } from "./server.ts";
import type { StreamingRuntime } from "./types.ts";

const streams = { stdin: true, stdout: true, stderr: true, tty: false };
const execRequest = create(ExecRequestSchema, { containerId: "c", cmd: ["cat"], ...streams });

const runtime: StreamingRuntime = {
  async exec({ cmd }, session) {
    if (cmd[0] === "fail") throw new Error("no such file");
    await session.stdout?.write(Buffer.from(`ran ${cmd.join(" ")}`));
    return 3;
  },
  async attach({ containerId }, session) {
    await session.stdout?.write(Buffer.from(`attached to ${containerId}`));
  },
  async portForward() {
    throw new Error("not in this test");
  },
};

async function started(options: { now?: () => number } = {}) {
  const server = createStreamingServer({ runtime, ...options });
  await server.start();
  return server;
}

async function output(url: string, transport: "spdy" | "websocket") {
  await using session = await openRemoteCommand({ url: new URL(url) }, { ...streams, transports: [transport] });
  assert.ok(session.stdout);
  const text = (await collect(session.stdout)).toString();
  return { text, status: await session.status };
}

for (const transport of ["spdy", "websocket"] as const) {
  describe(`streaming server over ${transport}`, () => {
    it("runs the command its URL stands for, once", async () => {
      await using server = await started();
      const { url } = server.getExec(execRequest);
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\/[A-Za-z0-9_-]{8}$/);
      assert.deepEqual(await output(url, transport), { text: "ran cat", status: exitStatus(3) });
      await assert.rejects(output(url, transport), {
        name: "UpgradeError",
        statusCode: 404,
        body: "404 page not found\n",
      });
    });

    it("attaches", async () => {
      await using server = await started();
      const { url } = server.getAttach(create(AttachRequestSchema, { containerId: "c", ...streams }));
      assert.deepEqual(await output(url, transport), { text: "attached to c", status: exitStatus(0) });
    });

    it("gives a failure of the runtime as a Status", async () => {
      await using server = await started();
      const { url } = server.getExec({ ...execRequest, cmd: ["fail"] });
      const { status } = await output(url, transport);
      assert.equal(status.message, "Internal error occurred: error executing command in container: no such file");
      assert.equal(status.reason, "InternalError");
    });

    it("ends its sessions when it is stopped", async () => {
      const ended = Promise.withResolvers<unknown>();
      const server = createStreamingServer({
        runtime: {
          ...runtime,
          async exec(_request, session) {
            await new Promise((resolve) => session.signal.addEventListener("abort", resolve));
            ended.resolve(session.signal.reason);
            return 0;
          },
        },
      });
      await server.start();
      const { url } = server.getExec(execRequest);
      await using session = await openRemoteCommand({ url: new URL(url) }, { ...streams, transports: [transport] });
      await session.stdin?.write(Buffer.from("x"));
      const [, status] = await Promise.all([server.stop(), session.status.catch((error: Error) => error)]);
      assert.equal((status as Error).name, "StreamError");
      await ended.promise;
    });
  });
}

describe("streaming server", () => {
  it("says what it has on its hands, and asks for the idle time at each session", async () => {
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let asked = 0;
    const idleTimeoutMs = () => {
      asked++;
      return 60_000;
    };
    const held: StreamingRuntime = {
      ...runtime,
      async exec() {
        begun.resolve();
        await end.promise;
        return 0;
      },
    };
    await using server = createStreamingServer({ runtime: held, idleTimeoutMs });
    await server.start();
    const none = { exec: 0, attach: 0, portforward: 0 };
    const [{ url }] = [server.getExec(execRequest), server.getExec(execRequest)];
    assert.deepEqual(server.load(), { tokens: 2, sessions: none });
    await using session = await openRemoteCommand({ url: new URL(url) }, streams);
    await begun.promise;
    assert.deepEqual([server.load(), asked], [{ tokens: 1, sessions: { ...none, exec: 1 } }, 1]);
    end.resolve();
    assert.deepEqual(await session.status, exitStatus(0));
    // Counted until its connection has gone; the test's own time is the bound.
    while (server.load().sessions.exec > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(server.load(), { tokens: 1, sessions: none });
  });

  it("knows no other token, kind, path or method, and forgets a token after a minute", async () => {
    let now = 0;
    await using server = await started({ now: () => now });
    const { url } = server.getExec(execRequest);
    const get = async (address: string, init?: RequestInit) => {
      const response = await fetch(address, init);
      return `${response.status} ${await response.text()}`;
    };
    const gone = "404 404 page not found\n";
    assert.equal(await get(url.replace(/[^/]*$/, "AAAAAAAA")), gone);
    assert.equal(await get(new URL("/", url).href), gone);
    assert.equal(await get(url, { method: "DELETE" }), gone);
    assert.equal(await get(url.replace("/exec/", "/attach/")), gone);
    assert.equal(await get(url), gone, "the token was used up on another kind");
    const late = server.getExec(execRequest).url;
    now += 60_001;
    assert.equal(await get(late), gone);
  });

  it("answers a request that is no upgrade as the real one does", async () => {
    await using server = await started();
    const response = await fetch(server.getExec(execRequest).url);
    assert.equal(response.status, 400);
    assert.match(
      await response.text(),
      /^unable to upgrade: header X-Stream-Protocol-Version does not exist in request with \d+ headers\n$/,
    );
    const named = await fetch(server.getExec(execRequest).url, {
      headers: { "X-Stream-Protocol-Version": "v4.channel.k8s.io" },
    });
    assert.equal(named.status, 400);
    assert.match(await named.text(), /^unable to upgrade: missing upgrade headers in request: /);
  });

  it("says which protocols it takes", async () => {
    await using server = await started();
    const { url } = server.getExec(execRequest);
    await assert.rejects(
      openRemoteCommand({ url: new URL(url) }, { ...streams, transports: ["spdy"], protocols: ["v9.channel.k8s.io"] }),
      {
        statusCode: 403,
        body: "unable to upgrade: unable to negotiate protocol: client supports [v9.channel.k8s.io], server accepts [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]\n",
      },
    );
  });

  const refused: {
    name: string;
    call: (server: ReturnType<typeof createStreamingServer>) => unknown;
    message: string;
  }[] = [
    {
      name: "no container",
      call: (s) => s.getExec({ ...execRequest, containerId: "" }),
      message: "missing required container_id",
    },
    {
      name: "tty and stderr",
      call: (s) => s.getExec({ ...execRequest, tty: true }),
      message: "tty and stderr cannot both be true",
    },
    {
      name: "exec without streams",
      call: (s) => s.getExec(create(ExecRequestSchema, { containerId: "c" })),
      message: "one of stdin, stdout, or stderr must be set",
    },
    {
      name: "attach without streams",
      call: (s) => s.getAttach(create(AttachRequestSchema, { containerId: "c" })),
      message: "one of stdin, stdout, and stderr must be set",
    },
    {
      name: "no sandbox",
      call: (s) => s.getPortForward(create(PortForwardRequestSchema)),
      message: "missing required pod_sandbox_id",
    },
  ];
  for (const { name, call, message } of refused) {
    it(`refuses ${name}`, async () => {
      await using server = await started();
      assert.throws(() => call(server), { name: "CRIError", code: 3, message });
    });
  }

  it("prepares nothing before it listens", () => {
    assert.throws(() => createStreamingServer({ runtime }).getExec(execRequest), { name: "CRIError", code: 14 });
  });
});

describe("RequestCache", () => {
  it("holds a thousand requests, and makes room when they are too old", () => {
    let now = 0;
    const cache = new RequestCache<number>({ now: () => now });
    const tokens = Array.from({ length: maxInFlight }, (_, index) => cache.insert(index));
    assert.throws(() => cache.insert(0), { code: 8, message: "maximum number of in-flight requests exceeded" });
    assert.equal(cache.consume(tokens[7] ?? ""), 7);
    assert.equal(cache.consume(tokens[7] ?? ""), undefined);
    cache.insert(1);
    assert.throws(() => cache.insert(0));
    now += 60_001;
    assert.equal(cache.consume(tokens[8] ?? ""), undefined);
    cache.insert(2);
  });
});
