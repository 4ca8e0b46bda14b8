import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, it } from "node:test";
import { refuseUpgrade, type UpgradeRequest } from "@hawser/streaming";
import { startRelay } from "@hawser/streaming/testing";
import { Interrupted } from "../errors.ts";
import { commandLine } from "../testing/command-line.ts";
import { type FakeApiOptions, fakeApi, pod } from "../testing/fake-api.ts";

/** Answers each connection with the port it was for and what came in, after its end. */
const echo: FakeApiOptions["connect"] = async (port) => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  async function* source() {
    yield Buffer.from(`${port}: `);
    yield* readable as AsyncIterable<Uint8Array>;
  }
  return {
    source: source(),
    sink: {
      write: (chunk) => writer.write(chunk),
      close: () => writer.close(),
      abort: (reason) => writer.abort(reason),
    },
  };
};

async function exchange(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(text);
  const parts: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) parts.push(chunk);
  return Buffer.concat(parts).toString("utf8");
}

/** Resolves with the local port of a line like `Forwarding from 127.0.0.1:8080 -> 80`. */
async function forwarded(stdout: NodeJS.ReadableStream, remote: number): Promise<number> {
  let text = "";
  for (;;) {
    const [, port] = new RegExp(`from 127\\.0\\.0\\.1:(\\d+) -> ${remote}\n`).exec(text) ?? [];
    if (port) return Number(port);
    const [chunk] = (await once(stdout, "data")) as [Buffer];
    text += chunk.toString("utf8");
  }
}

describe("hawser port-forward", () => {
  const web = pod("web", {
    spec: {
      containers: [
        {
          name: "web",
          image: "i",
          ports: [
            { containerPort: 80, name: "http" },
            { containerPort: 53, protocol: "UDP" },
          ],
        },
      ],
    },
  });

  it("forwards random ports by number and name, half-closed connections whole, and ends with 0 on Ctrl-C", async () => {
    const stop = new AbortController();
    await using server = await fakeApi({ pods: [web], connect: echo });
    const { result, terminal } = commandLine(["port-forward", "web", ":http", "0:81"], {
      server: server.url,
      signal: stop.signal,
    });
    const [first, second] = await Promise.all([forwarded(terminal.stdout, 80), forwarded(terminal.stdout, 81)]);
    assert.equal(await exchange(first, "hello"), "80: hello");
    assert.equal(await exchange(second, "x".repeat(100_000)), `81: ${"x".repeat(100_000)}`);
    stop.abort(new Interrupted("SIGINT", 2));
    const { code, stdout, stderr } = await result;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.ok(stdout.includes(`Handling connection for ${first}\n`), stdout);
  });

  it("goes on after a connection that the pod refused", async () => {
    const stop = new AbortController();
    let refuse = true;
    await using server = await fakeApi({
      pods: [web],
      async connect(port, signal) {
        if (refuse) throw new Error("connection refused");
        return await echo(port, signal);
      },
    });
    const { result, terminal } = commandLine(["port-forward", "web", ":80"], {
      server: server.url,
      signal: stop.signal,
    });
    const port = await forwarded(terminal.stdout, 80);
    await exchange(port, "x").catch(() => {}); // reset or ended, as the system has it
    refuse = false;
    assert.equal(await exchange(port, "again"), "80: again");
    stop.abort(new Interrupted("SIGINT", 2));
    const { code, stderr } = await result;
    assert.equal(code, 0);
    const why = `an error occurred forwarding ${port} -> 80: error forwarding port 80: connection refused`;
    assert.equal(stderr, `error: ${why}\n`);
  });

  for (const transport of ["true", "false"]) {
    it(`ends with 255 and the hop when the server falls silent, WebSockets ${transport}`, async () => {
      await using server = await fakeApi({ pods: [web], connect: echo });
      await using relay = await startRelay(Number(new URL(server.url).port));
      const { result, terminal } = commandLine(["port-forward", "--stream-peer-timeout=100ms", "web", ":80"], {
        server: relay.url.origin,
        env: { KUBECTL_PORT_FORWARD_WEBSOCKETS: transport },
      });
      assert.equal(await exchange(await forwarded(terminal.stdout, 80), "x"), "80: x");
      relay.freeze();
      const { code, stderr } = await result;
      assert.equal(code, 255);
      const why =
        /^error: the session broke off: lost connection to pod: the peer has sent nothing, and answered no ping, for 0\.\d+ s\nThe API server \S+ does not answer: /;
      assert.match(stderr, why);
    });
  }

  it("ends with 1 and kubectl's words when the pod does", async () => {
    const sessions: UpgradeRequest[] = [];
    await using server = await fakeApi({
      pods: [web],
      connect: echo,
      upgrade: (upgrade) => {
        sessions.push(upgrade);
        return false;
      },
    });
    const { result, terminal } = commandLine(["port-forward", "web", ":80"], { server: server.url });
    await exchange(await forwarded(terminal.stdout, 80), "x");
    server.remove("web");
    for (const { socket } of sessions) socket.destroy();
    const { code, stderr } = await result;
    assert.deepEqual({ code, stderr }, { code: 1, stderr: "error: lost connection to pod\n" });
  });

  it("says in kubectl's words that it may not", async () => {
    const message = 'pods "web" is forbidden: User "u" cannot create resource "pods/portforward"';
    const status = { kind: "Status", apiVersion: "v1", status: "Failure", message, reason: "Forbidden", code: 403 };
    await using server = await fakeApi({
      pods: [web],
      upgrade(upgrade) {
        refuseUpgrade(upgrade, { statusCode: 403, contentType: "application/json", body: JSON.stringify(status) });
        return true;
      },
    });
    const { code, stderr } = await commandLine(["port-forward", "web", ":80"], { server: server.url }).result;
    assert.deepEqual({ code, stderr }, { code: 1, stderr: `error: error upgrading connection: ${message}\n` });
  });

  it("says which port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    await using server = await fakeApi({ pods: [web], connect: echo });
    const { code, stderr } = await commandLine(["port-forward", "--address=127.0.0.1", "web", `${port}:80`], {
      server: server.url,
    }).result;
    taken.close();
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(
        `^Unable to listen on port ${port}: Listeners failed to create with the following errors: \\[unable to create listener: Error .*EADDRINUSE.*\\]\nerror: unable to listen on any of the requested ports: \\[\\{${port} 80\\}\\]\n$`,
      ),
    );
  });

  for (const { argv, want } of [
    {
      argv: "port-forward web",
      want: "error: TYPE/NAME and list of ports are required for port-forward\nSee 'hawser port-forward -h' for help and examples\n",
    },
    { argv: "port-forward web x", want: "error: Pod 'web' does not have a named port 'x'\n" },
    { argv: "port-forward web 53", want: "error: UDP protocol is not supported for 53\n" },
    {
      argv: "port-forward web 99999:80",
      want: "error: error parsing local port '99999': strconv.ParseUint: parsing \"99999\": value out of range\n",
    },
    { argv: "port-forward web 80:", want: "error: remote port cannot be empty\n" },
    {
      argv: "port-forward slow 80",
      want: "error: unable to forward port because pod is not running. Current status=Pending\n",
    },
    { argv: "port-forward --address=here web 80", want: "error: here is not a valid IP\n" },
  ]) {
    it(`refuses: ${argv}`, async () => {
      await using server = await fakeApi({ pods: [web, pod("slow", { status: { phase: "Pending" } })] });
      const { code, stderr } = await commandLine(argv.split(" "), { server: server.url }).result;
      assert.deepEqual({ code, stderr }, { code: 1, stderr: want });
    });
  }
});
