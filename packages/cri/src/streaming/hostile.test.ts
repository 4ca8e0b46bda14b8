// Hostile clients at a runtime's streaming server, all at once, while others go on.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { create } from "@bufbuild/protobuf";
import { openRemoteCommand } from "@hawser/streaming";
import { attacks, launch } from "@hawser/streaming/testing";
import { ExecRequestSchema } from "../gen/cri_pb.ts";
import { createStreamingServer } from "./server.ts";
import type { StreamingRuntime, StreamingServer } from "./types.ts";

const streams = { stdin: true, stdout: true, stderr: false, tty: false };
const request = create(ExecRequestSchema, { containerId: "c", cmd: ["cat"], ...streams });

const runtime: StreamingRuntime = {
  async exec(_request, session) {
    for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
    return 0;
  },
  async attach() {},
  async portForward() {
    throw new Error("not in this test");
  },
};

/** Sends a line and waits for its echo. */
async function echo(session: Awaited<ReturnType<typeof openRemoteCommand>>, output: AsyncIterator<Uint8Array>) {
  await session.stdin?.write(Buffer.from("are you there?"));
  const { value } = await output.next();
  assert.equal(Buffer.from(value ?? []).toString(), "are you there?");
}

/** What three hundred clients that are gone may have left behind, bytes. */
const mayHold = 32 * 1024 * 1024;

const collectGarbage = () => {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
};
const memory = () => {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

describe("hostile clients of a streaming server", () => {
  let server: StreamingServer; // which soon drops those that do not go on
  let patient: StreamingServer;
  before(async () => {
    server = createStreamingServer({ runtime, streamCreationTimeoutMs: 250 });
    patient = createStreamingServer({ runtime });
    await Promise.all([server.start(), patient.start()]);
  });
  after(() => Promise.all([server.stop(), patient.stop()]));

  const attack = (which: (typeof attacks)[number], signal?: AbortSignal) => {
    const target = which.ending === "told" ? patient : server;
    const url = new URL(target.getExec(request).url);
    const socket = connect({ port: Number(url.port), host: url.hostname });
    return launch(socket, which, { path: url.pathname, ...(signal && { signal }) });
  };

  for (const each of attacks) {
    it(`${each.upgrade}: ${each.name}: ${each.ending}`, { timeout: 20_000 }, async () => {
      const { statusCode, said } = await attack(each);
      assert.equal(statusCode, 101);
      if (each.ending === "told") assert.ok(said === 1 || [1002, 1007, 1009].includes(said ?? 0), `it said ${said}`);
      else assert.ok(said === undefined || said === 0, `it said ${said}`);
    });
  }

  for (const transport of ["spdy", "websocket"] as const) {
    it(`a session over ${transport} outlives three hundred of them, and their memory comes back`, async () => {
      await using session = await openRemoteCommand(
        { url: new URL(server.getExec(request).url) },
        { ...streams, transports: [transport] },
      );
      assert.ok(session.stdout);
      const output = session.stdout[Symbol.asyncIterator]();
      await echo(session, output);
      const before = memory();
      const leave = new AbortController();
      const small = attacks.filter(({ name }) => !name.includes("in pieces"));
      const under = Array.from({ length: 300 }, (_, index) => {
        const one = small[index % small.length];
        assert.ok(one);
        return attack(one, leave.signal);
      });
      for (let count = 0; count < 20; count++) await echo(session, output);
      setTimeout(() => leave.abort(), 1000); // by then all but those that may stay are gone
      await Promise.all(under);
      await echo(session, output);
      let grown = memory() - before;
      // What one collection has finalized is freed by the next, and the server hears of the last to leave only now.
      for (let look = 0; grown >= mayHold && look < 50; look++) {
        await delay(100);
        grown = memory() - before;
      }
      assert.ok(grown < mayHold, `${grown} bytes are still held`);
      await session.stdin?.close();
      await output.next();
      assert.equal((await session.status).status, "Success");
    });
  }
});
