import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createPlainServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import type { Answer } from "./answer.ts";
import { requestHead } from "./head.ts";
import { Agent, request } from "./http.ts";

interface Place extends AsyncDisposable {
  port: number;
  agent: Agent;
  /** Sends a request and reads its answer to the end. */
  ask(path?: string, options?: object): Promise<{ answer: Answer; body: string; reused: boolean }>;
}

async function place(
  server: ReturnType<typeof createServer> | ReturnType<typeof createPlainServer>,
  options = { keepAlive: true },
): Promise<Place> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => {})));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const agent = new Agent(options);
  return {
    port,
    agent,
    async ask(path = "/", more = {}) {
      const sent = request({ agent, host: "127.0.0.1", port, path, ...more }).end();
      const [answer] = (await once(sent, "response")) as [Answer];
      let body = "";
      for await (const chunk of answer) body += chunk;
      return { answer, body, reused: sent.reusedSocket };
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const listening = (listener: RequestListener, options?: { keepAlive: boolean }) =>
  place(createServer(listener), options);
/** A server that answers each connection's first bytes with these. */
const answering = (text: string, { end = false } = {}) =>
  place(
    createPlainServer((socket) => {
      socket.once("data", () => (end ? socket.end(text) : socket.write(text)));
    }),
  );

describe("a lean request", () => {
  it("takes the same connection again, and none that is not to be kept", async () => {
    await using at = await listening(({ url, headers }, response) => {
      if (url === "/close") response.setHeader("Connection", "close");
      response.end(`${headers.host} ${headers.connection} ${headers["x-a"]}`);
    });
    const host = `127.0.0.1:${at.port}`;
    assert.deepEqual(await said(at.ask("/", { headers: { "X-A": ["1", "2"] } })), [false, `${host} keep-alive 1, 2`]);
    assert.deepEqual(await said(at.ask("/close")), [true, `${host} keep-alive undefined`]);
    assert.deepEqual(await said(at.ask("/", { headers: { connection: "x" } })), [false, `${host} x undefined`]);
    assert.equal((await at.ask()).reused, true);
    assert.equal((await at.ask("/", { agent: false })).reused, false);
    await using apart = await listening((_, response) => void response.end(), { keepAlive: false });
    await apart.ask();
    assert.equal((await apart.ask()).reused, false);
  });

  it("does not take one on which the server said more than it was asked for", async () => {
    await using at = await answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
    assert.equal((await at.ask()).body, "ok");
    assert.equal((await at.ask()).reused, false);
  });

  it("reads a large body as slowly as its reader, and the connection serves on", async () => {
    const size = 8 * 1024 * 1024;
    let drained = false;
    await using at = await listening(({ url }, response) => {
      drained = url === "/large" ? response.write(Buffer.alloc(size)) : true;
      response.once("drain", () => {
        drained = true;
      });
      response.end();
    });
    const sent = request({ agent: at.agent, host: "127.0.0.1", port: at.port, path: "/large" }).end();
    const [answer] = (await once(sent, "response")) as [Answer];
    await once(answer, "readable");
    assert.ok(answer.readableLength < 256 * 1024, `${answer.readableLength} bytes are held`);
    assert.equal(drained, false);
    let length = 0;
    for await (const chunk of answer) length += chunk.length;
    assert.equal(length, size);
    assert.equal((await at.ask()).reused, true);
  });

  it("hands over an upgraded connection with the first bytes behind the answer", async () => {
    const server = createPlainServer((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst");
        socket.once("data", (data) => socket.end(`echo ${data}`));
      });
    });
    await using at = await place(server);
    const sent = request({ agent: at.agent, host: "127.0.0.1", port: at.port, headers: { Upgrade: "x" } }).end();
    const [answer, socket, head] = (await once(sent, "upgrade")) as [Answer, Socket, Buffer];
    assert.deepEqual([answer.statusCode, answer.headers.upgrade, String(head)], [101, "x", "first"]);
    at.agent.destroy();
    assert.equal(socket.destroyed, false, "it is no longer the agent's");
    socket.write("word");
    let echo = "";
    for await (const chunk of socket) echo += chunk;
    assert.equal(echo, "echo word");
  });

  it("fails with Node's errors", async () => {
    const failure = async (sent: ReturnType<typeof request>) => {
      const [error] = await once(sent.end(), "error");
      return [error.code, error.message];
    };
    await using silent = await answering("", { end: true });
    const to = ({ port, agent }: Place) => ({ port, agent, host: "127.0.0.1" });
    assert.deepEqual(await failure(request(to(silent))), ["ECONNRESET", "socket hang up"]);
    await using other = await answering("SSH-2.0-x\r\n");
    assert.deepEqual(await failure(request(to(other))), ["HPE_INVALID_CONSTANT", "Parse Error: Expected HTTP/"]);
    await using short = await answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour", { end: true });
    await assert.rejects(short.ask(), { code: "ECONNRESET", message: "aborted" });
    await using gone = await listening(() => {});
    const { port } = gone;
    await gone[Symbol.asyncDispose]();
    assert.equal((await failure(request({ host: "127.0.0.1", port })))[0], "ECONNREFUSED");
  });

  it("is given up while it waits, and while its answer comes", async () => {
    await using at = await listening(({ url }, response) => void (url === "/begun" && response.write("a")));
    const waiting = request({ agent: at.agent, host: "127.0.0.1", port: at.port }).end();
    await once(waiting, "socket");
    const failed = once(waiting, "error");
    waiting.destroy();
    assert.equal((await failed)[0].code, "ECONNRESET");
    const begun = request({ agent: at.agent, host: "127.0.0.1", port: at.port, path: "/begun" }).end();
    const [answer] = (await once(begun, "response")) as [Answer];
    const cut = once(answer.resume(), "error");
    at.agent.destroy();
    assert.equal((await cut)[0].code, "ECONNRESET");
  });

  it("is not made of what could be taken for another line", () => {
    const head = { method: "GET", path: "/", headers: {} };
    assert.throws(() => requestHead({ ...head, path: "/a b" }), { code: "ERR_UNESCAPED_CHARACTERS" });
    assert.throws(() => requestHead({ ...head, headers: { Authorization: "Bearer a\r\nX: y" } }), {
      code: "ERR_INVALID_CHAR",
      message: 'Invalid character in header content ["Authorization"]',
    });
    assert.equal(requestHead({ ...head, method: "POST" }), "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  });

  it("through an agent of Node's, a proxy's, is Node's", async () => {
    const { Agent: NodesAgent } = await import("node:http");
    await using at = await listening((_, response) => void response.end("ok"));
    const agent = new NodesAgent();
    const sent = request({ agent, host: "127.0.0.1", port: at.port });
    const [message] = (await once(sent.end(), "response")) as unknown as [IncomingMessage];
    assert.equal(message.httpVersion, "1.1");
    for await (const chunk of message) assert.equal(String(chunk), "ok");
  });
});

async function said(asked: ReturnType<Place["ask"]>): Promise<[boolean, string]> {
  const { reused, body } = await asked;
  return [reused, body];
}
