import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { type CallReport, Code, CRIError, connectCRI, type RuntimeService, serveCRI, upload } from "./index.ts";
import { serveVersions } from "./server.ts";
import { createFakeRuntime } from "./testing/index.ts";

async function tempSocket() {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-cri-"));
  return {
    path: path.join(folder, "cri.sock"),
    endpoint: `unix://${path.join(folder, "cri.sock")}`,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

test("a call goes there and back, and the socket is private", async () => {
  await using socket = await tempSocket();
  const fake = createFakeRuntime();
  await using _server = await serveCRI({ socketPath: socket.path, runtime: fake.runtime, images: fake.images });
  assert.equal((await stat(socket.path)).mode & 0o777, 0o600);
  using cri = await connectCRI({ endpoint: socket.endpoint });
  assert.equal(cri.apiVersion, "v1");
  assert.equal(cri.runtimeName, "fake");
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: { metadata: { name: "web" } } });
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.metadata?.name, "web");
});

test("the client falls back to v1alpha2", async () => {
  await using socket = await tempSocket();
  const fake = createFakeRuntime();
  const options = { socketPath: socket.path, runtime: fake.runtime, images: fake.images };
  await using _server = await serveVersions(options, ["v1alpha2"]);
  using cri = await connectCRI({ endpoint: socket.endpoint });
  assert.equal(cri.apiVersion, "v1alpha2");
  assert.equal((await cri.runtime.status({})).status?.conditions.length, 2);
});

test("errors keep their code; others are Unknown; what is missing is Unimplemented; each call is reported", async () => {
  await using socket = await tempSocket();
  const runtime: Partial<RuntimeService> = {
    version: async () => ({ version: "0.1.0" }),
    containerStatus: async () => {
      throw new CRIError(Code.NotFound, 'container "x" not found');
    },
    status: async () => {
      throw new Error("odd");
    },
  };
  const reports: CallReport[] = [];
  const onCall = (report: CallReport) => void reports.push(report);
  await using _server = await serveCRI({ socketPath: socket.path, runtime, images: {}, onCall });
  using cri = await connectCRI({ endpoint: socket.endpoint });
  await assert.rejects(cri.runtime.containerStatus({ containerId: "x" }), {
    name: "CRIError",
    code: Code.NotFound,
    message: 'container "x" not found',
  });
  await assert.rejects(cri.runtime.status({}), { code: Code.Unknown, message: "odd" });
  await assert.rejects(cri.runtime.attach({ containerId: "x" }), { code: Code.Unimplemented });
  await assert.rejects(
    async () => {
      for await (const _ of cri.runtime.getContainerEvents({}));
    },
    { code: Code.Unimplemented },
  );
  assert.deepEqual(new Set(reports.map(({ service }) => service)), new Set(["runtime.v1.RuntimeService"]));
  assert.equal(reports.at(-1)?.kind, "server_stream");
  assert.deepEqual(
    reports.map(({ method, code }) => [method, code]),
    [
      ["Version", 0],
      ["ContainerStatus", 5],
      ["Status", 2],
      ["Attach", 12],
      ["GetContainerEvents", 12],
    ],
  );
});

test("an error with a text of 1 MiB is cut, in the report too, and the connection lives", async () => {
  await using socket = await tempSocket();
  const runtime: Partial<RuntimeService> = {
    version: async () => ({ version: "0.1.0" }),
    containerStatus: async ({ containerId }) => {
      throw new CRIError(Code.NotFound, `container "${containerId}" not found`);
    },
  };
  const reports: CallReport[] = [];
  const onCall = (report: CallReport) => void reports.push(report);
  await using _server = await serveCRI({ socketPath: socket.path, runtime, images: {}, onCall });
  using cri = await connectCRI({ endpoint: socket.endpoint });
  for (const letter of ["x", "ü", "漢", "😀"]) {
    await assert.rejects(cri.runtime.containerStatus({ containerId: letter.repeat(512 * 1024) }), (error) => {
      assert.ok(error instanceof CRIError);
      assert.equal(error.code, Code.NotFound);
      assert.match(error.message, /^container ".* \[…\d+ characters left out…\] .*" not found$/u);
      const told = reports.at(-1)?.error;
      assert.equal(told instanceof Error && told.message, error.message);
      return true;
    });
  }
});

for (const how of ["cancel", "deadline"] as const) {
  test(`a ${how} on the client aborts the handler's signal`, async () => {
    await using socket = await tempSocket();
    const started = Promise.withResolvers<AbortSignal>();
    const runtime: Partial<RuntimeService> = {
      version: async () => ({}),
      execSync: (_request, { signal }) => {
        started.resolve(signal);
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
    };
    await using _server = await serveCRI({ socketPath: socket.path, runtime, images: {} });
    using cri = await connectCRI({ endpoint: socket.endpoint });
    const abort = new AbortController();
    const options = how === "cancel" ? { signal: abort.signal } : { timeoutMs: 50 };
    const call = cri.runtime.execSync({ containerId: "c", cmd: ["true"] }, options);
    const expected =
      how === "cancel"
        ? assert.rejects(call, { message: "enough" })
        : assert.rejects(call, { code: Code.DeadlineExceeded });
    const signal = await started.promise;
    const aborted = once(signal, "abort");
    if (how === "cancel") abort.abort(new Error("enough"));
    await Promise.all([aborted, expected]);
  });
}

test("a server that stops ends the calls under way", { timeout: 10_000 }, async () => {
  await using socket = await tempSocket();
  const begun = Promise.withResolvers<AbortSignal>();
  const runtime: Partial<RuntimeService> = {
    version: async () => ({ version: "0.1.0" }),
    status: (_request, { signal }) => {
      begun.resolve(signal);
      return new Promise(() => {});
    },
  };
  const server = await serveCRI({ socketPath: socket.path, runtime, images: {} });
  using cri = await connectCRI({ endpoint: socket.endpoint });
  const call = assert.rejects(cri.runtime.status({}), { name: "CRIError" });
  const signal = await begun.promise;
  await server[Symbol.asyncDispose]();
  await call;
  if (!signal.aborted) await once(signal, "abort");
});

test("an answered call's signal does not fire", async () => {
  await using socket = await tempSocket();
  const signals: AbortSignal[] = [];
  const runtime: Partial<RuntimeService> = {
    version: async (_request, { signal }) => {
      signals.push(signal);
      return {};
    },
  };
  await using server = await serveCRI({ socketPath: socket.path, runtime, images: {} });
  const cri = await connectCRI({ endpoint: socket.endpoint });
  await cri.runtime.version({}); // connectCRI() has asked too
  cri.close();
  await server[Symbol.asyncDispose]();
  assert.ok(signals.length > 1);
  assert.ok(!signals.some(({ aborted }) => aborted));
});

test("a stream of events ends the handler when its reader leaves", async () => {
  await using socket = await tempSocket();
  const fake = createFakeRuntime();
  const ended = Promise.withResolvers<void>();
  const events = fake.runtime.getContainerEvents;
  assert.ok(events);
  fake.runtime.getContainerEvents = async function* (request, context) {
    try {
      yield* events(request, context);
    } finally {
      ended.resolve();
    }
  };
  await using _server = await serveCRI({ socketPath: socket.path, runtime: fake.runtime, images: fake.images });
  using cri = await connectCRI({ endpoint: socket.endpoint });
  const stream = cri.runtime.getContainerEvents({})[Symbol.asyncIterator]();
  const first = stream.next();
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: { metadata: { name: "web" } } });
  const config = { metadata: { name: "c" } };
  const { containerId } = await cri.runtime.createContainer({ podSandboxId, config });
  assert.equal((await first).value?.containerId, containerId);
  await stream.return?.();
  await ended.promise;
});

test("16 MiB twice fit into one answer", async () => {
  await using socket = await tempSocket();
  const stdout = new Uint8Array(16 * 1024 * 1024).fill(65);
  const runtime: Partial<RuntimeService> = {
    version: async () => ({}),
    execSync: async () => ({ stdout, stderr: stdout, exitCode: 3 }),
  };
  await using _server = await serveCRI({ socketPath: socket.path, runtime, images: {} });
  using cri = await connectCRI({ endpoint: socket.endpoint });
  const answer = await cri.runtime.execSync({ containerId: "c" });
  assert.equal(answer.stderr.byteLength, stdout.byteLength);
  assert.equal(answer.exitCode, 3);
});

test("an upload: chunks in order, one answer", async () => {
  await using socket = await tempSocket();
  const uploads = {
    "/hawser.v1.Images/Load": async (chunks: AsyncIterable<Uint8Array>) => {
      const parts: Uint8Array[] = [];
      for await (const chunk of chunks) parts.push(chunk);
      return Buffer.concat(parts);
    },
  };
  await using _server = await serveCRI({ socketPath: socket.path, runtime: {}, images: {}, uploads });
  async function* chunks() {
    yield Buffer.from("one ");
    yield Buffer.from("two");
  }
  const request = { endpoint: socket.endpoint, path: "/hawser.v1.Images/Load" };
  assert.equal(Buffer.from(await upload({ ...request, chunks: chunks() })).toString(), "one two");
  async function* broken() {
    yield Buffer.from("one");
    throw new Error("no more");
  }
  await assert.rejects(upload({ ...request, chunks: broken() }), { message: "no more" });
});

test("an upload that is answered before its end is not read on", { timeout: 10_000 }, async () => {
  await using socket = await tempSocket();
  const uploads = { "/hawser.v1.Images/Load": async () => Buffer.from("enough") };
  await using _server = await serveCRI({ socketPath: socket.path, runtime: {}, images: {}, uploads });
  const left = Promise.withResolvers<void>();
  async function* endless() {
    try {
      for (;;) yield Buffer.alloc(1024);
    } finally {
      left.resolve();
    }
  }
  const answer = await upload({ endpoint: socket.endpoint, path: "/hawser.v1.Images/Load", chunks: endless() });
  assert.equal(Buffer.from(answer).toString(), "enough");
  await left.promise;
});

test("a live server keeps its socket, a dead one loses it, a file is left alone", async () => {
  await using socket = await tempSocket();
  const options = { socketPath: socket.path, runtime: {}, images: {} };
  {
    await using _server = await serveCRI(options);
    await assert.rejects(serveCRI(options), /is in use by a running server/);
  }
  const dead = createServer().listen(socket.path);
  await once(dead, "listening");
  // Node removes the file on close, a killed process does not: hide the file meanwhile.
  await rename(socket.path, `${socket.path}.hidden`);
  dead.close();
  await once(dead, "close");
  await rename(`${socket.path}.hidden`, socket.path);
  {
    await using _server = await serveCRI(options);
  }
  await writeFile(socket.path, "");
  await assert.rejects(serveCRI(options), /is not a socket/);
  await rm(socket.path);
  await using _again = await serveCRI(options);
});

test("nobody there: Unavailable, with the endpoint in the text", async () => {
  await using socket = await tempSocket();
  await assert.rejects(connectCRI({ endpoint: socket.endpoint, timeoutMs: 50 }), {
    code: Code.Unavailable,
    message: /no CRI runtime answers on unix:/,
  });
  await assert.rejects(connectCRI({ endpoint: "tcp://1.2.3.4" }), /is not unix:\/\/\/PATH/);
});
