import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:http2";
import { createConnection } from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connectCRI, type RuntimeService, serveCRI } from "./index.ts";

const day = 86_400;

/** A StopContainer that goes on until told, and says when it was called. */
async function serveStop() {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-cri-"));
  const socketPath = path.join(folder, "cri.sock");
  const called = Promise.withResolvers<{ timeout: bigint; signal: AbortSignal }>();
  const end = Promise.withResolvers<void>();
  const runtime: Partial<RuntimeService> = {
    version: async () => ({}),
    async stopContainer({ timeout }, { signal }) {
      called.resolve({ timeout, signal });
      await end.promise;
      return {};
    },
  };
  const server = await serveCRI({ socketPath, runtime, images: {} });
  return {
    socketPath,
    called: called.promise,
    end: end.resolve,
    async [Symbol.asyncDispose]() {
      end.resolve();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

for (const seconds of [30 * day, 50 * day, 1_000_000_000, 2 ** 62]) {
  test(`a stop with a grace of ${seconds} s is not cut short by our client`, async () => {
    await using stop = await serveStop();
    using cri = await connectCRI({ endpoint: `unix://${stop.socketPath}` });
    const call = cri.runtime.stopContainer({ containerId: "c", timeout: BigInt(seconds) });
    assert.equal((await stop.called).timeout, BigInt(seconds));
    stop.end();
    await call;
  });
}

for (const deadline of ["720H", "99999999H", "2592000S"]) {
  test(`a client's deadline of ${deadline} is not over at once`, async () => {
    await using stop = await serveStop();
    const session = connect("http://localhost", { createConnection: () => createConnection(stop.socketPath) });
    try {
      const stream = session.request({
        ...{ ":method": "POST", ":path": "/runtime.v1.RuntimeService/StopContainer" },
        ...{ "content-type": "application/grpc", te: "trailers", "grpc-timeout": deadline },
      });
      const trailers = once(stream, "trailers");
      stream.resume().end(Buffer.alloc(5));
      const { signal } = await stop.called;
      const late = performance.now() + 20; // what grpc-js takes for over has a timer of 1 ms
      while (performance.now() < late) await turn();
      assert.equal(signal.aborted, false);
      stop.end();
      const [{ "grpc-status": status }] = (await trailers) as [Record<string, string>];
      assert.equal(status, "0");
    } finally {
      session.destroy();
    }
  });
}
