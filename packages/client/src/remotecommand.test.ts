import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { exitStatus, internalError, notFound, parsePodExecOptions, StatusError } from "@hawser/api";
import { acceptRemoteCommand, refuseUpgrade, type ServerSession, type UpgradeRequest } from "@hawser/streaming";
import { createClient } from "./client.ts";
import { attach, exec } from "./remotecommand.ts";
import { answerJSON, type FakeServer, fakeServer } from "./testing/fake-server.ts";

const target = { namespace: "default", pod: "web", command: ["cat"] };
const bytes = (text: string) => new TextEncoder().encode(text);

function sink() {
  const chunks: Uint8Array[] = [];
  return {
    write: async (chunk: Uint8Array) => {
      chunks.push(chunk);
    },
    text: () => Buffer.concat(chunks).toString("utf8"),
  };
}

/** A server whose every upgrade is a session given to `serve`. */
function commandServer(serve: (session: ServerSession, upgrade: UpgradeRequest) => Promise<void>): Promise<FakeServer> {
  return fakeServer(
    (_, response) => response.destroy(),
    async (upgrade) => {
      const query = new URL(upgrade.request.url ?? "", "https://h").searchParams;
      await using session = await acceptRemoteCommand(upgrade, parsePodExecOptions(query));
      await serve(session, upgrade);
    },
  );
}

for (const transport of ["websocket", "spdy"] as const) {
  describe(`exec over ${transport}`, () => {
    const transports = [transport];

    it("carries input, both outputs and the exit code", async () => {
      await using server = await commandServer(async (session) => {
        const parts: Uint8Array[] = [];
        for await (const chunk of session.stdin ?? []) parts.push(chunk);
        await session.stdout?.write(Buffer.concat(parts));
        await session.stderr?.write(bytes("oops"));
        await session.finish(exitStatus(3));
      });
      await using client = createClient(server.config);
      const stdout = sink();
      const stderr = sink();
      const result = await exec(client, { ...target, container: "c 1", stdin: "hello", stdout, stderr, transports });
      assert.equal(result.exitCode, 3);
      assert.equal(stdout.text(), "hello");
      assert.equal(stderr.text(), "oops");
      const method = transport === "spdy" ? "POST" : "GET";
      assert.deepEqual(server.requests, [
        `${method} /api/v1/namespaces/default/pods/web/exec?command=cat&container=c+1&stderr=true&stdin=true&stdout=true`,
      ]);
    });

    it("reads into the same memory again for an output that holds nothing, and leaves alone what one still holds", async () => {
      const part = (index: number) => Buffer.alloc(20_000, index + 1);
      const parts = Array.from({ length: 50 }, (_, index) => part(index));
      await using server = await commandServer(async (session) => {
        for (const each of parts) await session.stdout?.write(each);
        await session.finish(exitStatus(0));
      });
      await using client = createClient(server.config);
      const whole = Buffer.concat(parts);
      const copies: Uint8Array[] = [];
      const memory = new Set<ArrayBufferLike>();
      const quick = {
        held: 0,
        async write(chunk: Uint8Array) {
          memory.add(chunk.buffer);
          copies.push(Uint8Array.from(chunk));
        },
      };
      await exec(client, { ...target, stdout: quick, transports });
      assert.ok(Buffer.concat(copies).equals(whole));
      assert.ok(memory.size < copies.length / 2, `${memory.size} buffers for ${copies.length} chunks`);

      const kept: Uint8Array[] = [];
      const slow = {
        held: 0,
        async write(chunk: Uint8Array) {
          kept.push(chunk);
          this.held += chunk.byteLength;
        },
      };
      await exec(client, { ...target, stdout: slow, transports });
      assert.ok(Buffer.concat(kept).equals(whole));
    });

    it("fails with the output that fails, one that holds nothing too", async () => {
      await using server = await commandServer(async (session) => {
        await session.stdout?.write(Buffer.alloc(1024 * 1024)).catch(() => {});
        await session.finish(exitStatus(0));
      });
      await using client = createClient(server.config);
      const full = () => {
        throw new Error("disk full");
      };
      for (const write of [async () => full(), full]) {
        const stdout = { held: 0, write };
        await assert.rejects(exec(client, { ...target, stdout, transports }), { message: "disk full" });
      }
    });

    it("without any stream drops the output, which a server wants to be asked for", async () => {
      await using server = await commandServer(async (session) => {
        await session.stdout?.write(bytes("nobody reads this"));
        await session.finish(exitStatus(4));
      });
      await using client = createClient(server.config);
      assert.equal((await exec(client, { ...target, transports })).exitCode, 4);
      assert.match(server.requests[0] ?? "", /\?command=cat&stdout=true$/);
    });

    it("ends though its input never does, and leaves the input usable", async () => {
      await using server = await commandServer(async (session) => {
        await session.stdout?.write(bytes("out"));
        await session.finish(exitStatus(0));
      });
      await using client = createClient(server.config);
      const stdin = new PassThrough();
      const stdout = sink();
      const { exitCode } = await exec(client, { ...target, stdin, stdout, transports });
      assert.equal(exitCode, 0);
      assert.equal(stdout.text(), "out");
      assert.equal(stdin.destroyed, false);
      assert.equal(stdin.listenerCount("data"), 0);
    });

    it("throws the Status of a command that could not be run", async () => {
      await using server = await commandServer((session) => session.finish(internalError("no such file").status));
      await using client = createClient(server.config);
      await assert.rejects(exec(client, { ...target, stdout: sink(), transports }), {
        name: "StatusError",
        message: "Internal error occurred: no such file",
      });
    });

    it("fails when the server goes away before a status", async () => {
      await using server = await commandServer(async (session, { socket }) => {
        await session.stdout?.write(bytes("half"));
        socket.destroy();
      });
      await using client = createClient(server.config);
      await assert.rejects(exec(client, { ...target, stdout: sink(), transports }), { name: "StreamError" });
    });

    it("ends the session when it is aborted", async () => {
      const gone = Promise.withResolvers<void>();
      await using server = await commandServer(async (session) => {
        session.signal.addEventListener("abort", () => gone.resolve());
        await session.stdout?.write(bytes("ready"));
        await gone.promise;
      });
      await using client = createClient(server.config);
      const stop = new AbortController();
      const stdout = { write: async () => stop.abort(new Error("enough")) };
      const running = exec(client, { ...target, stdin: new PassThrough(), stdout, signal: stop.signal, transports });
      await assert.rejects(running, { message: "enough" });
      await gone.promise;
    });

    it("ends the session when an output fails", async () => {
      const gone = Promise.withResolvers<void>();
      await using server = await commandServer(async (session) => {
        session.signal.addEventListener("abort", () => gone.resolve());
        await session.stdout?.write(bytes("ready"));
        await gone.promise;
      });
      await using client = createClient(server.config);
      const stdout = {
        write: async () => {
          throw new Error("disk full");
        },
      };
      await assert.rejects(exec(client, { ...target, stdout, transports }), { message: "disk full" });
      await gone.promise;
    });

    it("tells a terminal's sizes, and asks for no stderr", async () => {
      await using server = await commandServer(async (session) => {
        assert.equal(session.stderr, undefined);
        const sizes: unknown[] = [];
        for await (const size of session.resize) if (sizes.push(size) === 2) break;
        await session.stdout?.write(bytes(JSON.stringify(sizes)));
        await session.finish(exitStatus(0));
      });
      await using client = createClient(server.config);
      async function* sizes() {
        yield { width: 80, height: 24 };
        yield { width: 81, height: 25 };
        await new Promise(() => {}); // no further size will come
      }
      const stdout = sink();
      await exec(client, { ...target, tty: true, stdout, stderr: sink(), size: sizes(), transports });
      assert.equal(stdout.text(), '[{"width":80,"height":24},{"width":81,"height":25}]');
    });

    it("throws the Status of a refused upgrade", async () => {
      await using server = await fakeServer(
        (_, response) => response.destroy(),
        async (upgrade) => {
          const body = JSON.stringify(notFound({ resource: "pods" }, "web").status);
          refuseUpgrade(upgrade, { statusCode: 404, contentType: "application/json", body });
        },
      );
      await using client = createClient(server.config);
      await assert.rejects(exec(client, { ...target, stdout: sink(), transports }), (error) => {
        assert.ok(error instanceof StatusError);
        assert.equal(error.message, 'pods "web" not found');
        return true;
      });
    });

    it("names a refusal in plain text", async () => {
      await using server = await fakeServer(
        (_, response) => response.destroy(),
        async (upgrade) =>
          refuseUpgrade(upgrade, { statusCode: 500, contentType: "text/plain", body: 'container not found ("c")\n' }),
      );
      await using client = createClient(server.config);
      await assert.rejects(attach(client, { ...target, stdout: sink(), transports }), {
        name: "UpgradeError",
        message: 'unable to upgrade connection: container not found ("c")',
      });
    });
  });
}

for (const transport of ["websocket", "spdy"] as const) {
  it(`exec over ${transport} takes over the connection of the request before it`, async () => {
    await using server = await fakeServer(
      (_, response) => answerJSON(response, {}),
      async (upgrade) => {
        await using session = await acceptRemoteCommand(upgrade, {
          stdin: false,
          stdout: true,
          stderr: false,
          tty: false,
        });
        await session.finish(exitStatus(0));
      },
    );
    await using client = createClient(server.config);
    await client.request({ method: "GET", path: "/" });
    await exec(client, { ...target, stdout: sink(), transports: [transport] });
    assert.equal(server.connections, 1);
    await client.request({ method: "GET", path: "/" });
    assert.equal(server.connections, 2);
  });
}

it("exec never goes on with a connection on which an upgrade was refused", async () => {
  await using server = await fakeServer(
    (_, response) => answerJSON(response, {}),
    async ({ request, socket, head }) => {
      // Refused as if the connection would go on; it does not.
      if (request.method === "GET")
        return void socket.resume().end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
      await using session = await acceptRemoteCommand(
        { request, socket, head },
        { stdin: false, stdout: true, stderr: false, tty: false },
      );
      await session.finish(exitStatus(0));
    },
  );
  await using client = createClient(server.config);
  await client.request({ method: "GET", path: "/" });
  const { exitCode } = await exec(client, { ...target, stdout: sink() });
  assert.equal(exitCode, 0);
});

it("exec falls back to SPDY when the WebSocket is refused", async () => {
  await using server = await fakeServer(
    (_, response) => response.destroy(),
    async (upgrade) => {
      if (upgrade.request.method === "GET")
        return refuseUpgrade(upgrade, { statusCode: 403, contentType: "text/plain", body: "no" });
      await using session = await acceptRemoteCommand(upgrade, {
        stdin: false,
        stdout: true,
        stderr: false,
        tty: false,
      });
      await session.finish(exitStatus(0));
    },
  );
  await using client = createClient(server.config);
  const opened: string[] = [];
  await exec(client, { ...target, stdout: sink(), onOpen: ({ transport }) => opened.push(transport) });
  assert.deepEqual(opened, ["spdy"]);
});

it("exec takes web streams and writes to them", async () => {
  await using server = await commandServer(async (session) => {
    for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
    await session.finish(exitStatus(0));
  });
  await using client = createClient(server.config);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const text = new Response(readable).text();
  const stdin = new Blob(["a web ", "stream"]).stream();
  await exec(client, { ...target, stdin, stdout: writable });
  await writable.close();
  assert.equal(await text, "a web stream");
});
