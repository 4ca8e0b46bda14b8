import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { exitStatus, notFound, parsePodExecOptions } from "@hawser/api";
import { createClient, exec, StatusError } from "@hawser/client";
import {
  acceptRemoteCommand,
  refuseUpgrade,
  type ServerSession,
  type UpgradeRequest,
  upgradeKind,
} from "@hawser/streaming";
import { Exec, type V1Status } from "@kubernetes/client-node";
import { type FakeServer, fakeServer } from "../../../packages/client/src/testing/fake-server.ts";
import { type Lack, standsStill, theirConfig } from "./lack.ts";

const target = { namespace: "default", pod: "web", command: ["cat"] };
/** What is offered to whoever does not say stop. */
const offered = 64 * 1024 * 1024;
/** What may be on its way in sockets' and transports' buffers. */
const underWay = 8 * 1024 * 1024;

function commandServer(serve: (session: ServerSession, upgrade: UpgradeRequest) => Promise<void>): Promise<FakeServer> {
  return fakeServer(
    (_, response) => response.destroy(),
    async (upgrade) => {
      const query = new URL(upgrade.request.url ?? "", "https://h").searchParams;
      await using session = await acceptRemoteCommand(upgrade, parsePodExecOptions(query));
      await serve(session, upgrade).catch(() => {}); // the client has left
    },
  );
}

type Streams = [stdout: Writable | null, stderr: Writable | null, stdin: Readable | null];

function theirExec(server: FakeServer, streams: Streams, onStatus: (status: V1Status) => void = () => {}) {
  return new Exec(theirConfig(server.config)).exec("default", "web", "c", ["cat"], ...streams, false, onStatus);
}

/** An output that takes one chunk and never asks for another. */
const stuck = () => new Writable({ write() {} });

export const sessions: Lack[] = [
  {
    title: "A session that is cut in the middle",
    theirs: "nothing: no error, no status, the outputs do not end",
    ours: "rejects with a `StreamError`; what came before was delivered",
    async show() {
      await using server = await commandServer(async (session, { socket }) => {
        await session.stdout?.write(Buffer.from("half"));
        socket.destroy();
      });
      let heard = false;
      const stdout = new PassThrough();
      stdout.on("end", () => (heard = true)).on("error", () => (heard = true));
      const socket = await theirExec(server, [stdout, null, null], () => (heard = true));
      stdout.resume();
      if (socket.readyState !== socket.CLOSED) await once(socket as unknown as NodeJS.EventEmitter, "close");
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(heard, false);
      await using client = createClient(server.config);
      await assert.rejects(exec(client, { ...target, stdout: new PassThrough().resume() }), { name: "StreamError" });
    },
  },
  {
    title: "An output that does not read",
    theirs: "takes all of 64 MiB into memory",
    ours: "stops the process after at most 8 MiB, most of it in the sockets",
    async show() {
      const written: number[] = [];
      await using server = await commandServer(async ({ stdout }) => {
        const index = written.push(0) - 1;
        const chunk = Buffer.alloc(64 * 1024);
        for (let at = 0; at < offered; at += chunk.length) {
          await stdout?.write(chunk);
          written[index] = at + chunk.length;
        }
      });
      const socket = await theirExec(server, [stuck(), null, null]);
      assert.equal(await standsStill(() => written[0] ?? 0), offered);
      socket.close();
      const stop = new AbortController();
      await using client = createClient(server.config);
      const running = exec(client, { ...target, stdout: stuck(), signal: stop.signal });
      running.catch(() => {});
      const taken = await standsStill(() => written[1] ?? 0);
      stop.abort();
      await assert.rejects(running);
      assert.ok(taken > 0 && taken <= underWay, `${taken} bytes`);
    },
  },
  {
    title: "A process that does not read its input",
    theirs: "takes all of 64 MiB of the input into memory",
    ours: "leaves the input alone after at most 8 MiB",
    async show() {
      const held: Promise<void>[] = [];
      const done = Promise.withResolvers<void>();
      held.push(done.promise);
      await using server = await commandServer(async () => done.promise);
      const source = () => {
        const state = { given: 0 };
        const read = function* () {
          for (; state.given < offered; state.given += 64 * 1024) yield Buffer.alloc(64 * 1024);
        };
        return { state, stream: Readable.from(read(), { objectMode: false }) };
      };
      try {
        const first = source();
        const socket = await theirExec(server, [null, null, first.stream]);
        assert.equal(await standsStill(() => first.state.given), offered);
        socket.terminate();
        const second = source();
        const stop = new AbortController();
        await using client = createClient(server.config);
        const running = exec(client, { ...target, stdin: second.stream, signal: stop.signal });
        running.catch(() => {});
        const given = await standsStill(() => second.state.given);
        stop.abort();
        await assert.rejects(running);
        assert.ok(given > 0 && given <= underWay, `${given} bytes`);
      } finally {
        done.resolve();
      }
    },
  },
  {
    title: "A server, or a proxy on the way, that takes no WebSockets",
    theirs: "the session fails",
    ours: "speaks SPDY, as kubectl does",
    async show() {
      await using server = await fakeServer(
        (_, response) => response.destroy(),
        async (upgrade) => {
          if (upgradeKind(upgrade.request) === "websocket") {
            return refuseUpgrade(upgrade, { statusCode: 403, contentType: "text/plain", body: "no" });
          }
          const query = new URL(upgrade.request.url ?? "", "https://h").searchParams;
          await using session = await acceptRemoteCommand(upgrade, parsePodExecOptions(query));
          await session.finish(exitStatus(3));
        },
      );
      await assert.rejects(theirExec(server, [new PassThrough(), null, null]));
      await using client = createClient(server.config);
      assert.equal((await exec(client, target)).exitCode, 3);
    },
  },
  {
    title: "A session that the server refuses",
    theirs: "`Unexpected server response: 404`",
    ours: 'rejects with a `StatusError`: `pods "web" not found`, with code and reason',
    async show() {
      const body = JSON.stringify(notFound({ resource: "pods" }, "web").status);
      await using server = await fakeServer(
        (_, response) => response.destroy(),
        async (upgrade) => refuseUpgrade(upgrade, { statusCode: 404, contentType: "application/json", body }),
      );
      const theirs: { message?: string } = await theirExec(server, [new PassThrough(), null, null]).then(
        () => ({}),
        (error: { message?: string }) => error,
      );
      assert.equal(theirs.message, "Unexpected server response: 404");
      await using client = createClient(server.config);
      const refused = (error: unknown) =>
        error instanceof StatusError && error.code === 404 && error.message === 'pods "web" not found';
      await assert.rejects(exec(client, target), refused);
    },
  },
  {
    title: "Web streams",
    theirs: "a `TypeError`; the session stays open",
    ours: "taken wherever Node's are",
    async show() {
      const sockets: { destroy(): void }[] = [];
      await using server = await commandServer(async (session, { socket }) => {
        sockets.push(socket);
        for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
        await session.finish(exitStatus(0));
      });
      const web = () => new Blob(["hello"]).stream();
      await assert.rejects(theirExec(server, [new PassThrough(), null, web() as unknown as Readable]), TypeError);
      for (const socket of sockets) socket.destroy(); // it has left its session open
      await using client = createClient(server.config);
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      const text = new Response(readable).text();
      await exec(client, { ...target, stdin: web(), stdout: writable });
      await writable.close();
      assert.equal(await text, "hello");
    },
  },
];
