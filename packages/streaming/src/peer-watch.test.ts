import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { lookAtPeers, parseTCPTable, watchPeer } from "./peer-watch.ts";

const head =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";

describe("parseTCPTable", () => {
  it("counts what is retransmitted, and unanswered probes of a closed window, and nothing else", () => {
    const rows = [
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0",
      "   1: 0100A8C0:192B 0200A8C0:C350 01 00000400:00000000 01:00000140 00000006     0        0 2 2 0 100 0 0 10 0",
      "   2: 0100A8C0:192B 0200A8C0:C351 01 00000000:00000000 02:00000140 00000000     0        0 3 2 0 20 4 31 10 -1",
      "   3: 0100A8C0:192B 0200A8C0:C352 01 00010000:00000000 04:00000140 00000000     0        3 4 2 0 20 4 31 10 -1",
      "   4: 0100A8C0:192B 0200A8C0:C353 01 00010000:00000000 04:00000140 00000000     0        1 5 2 0 20 4 31 10 -1",
      "   5: 0100A8C0:192B 0200A8C0:C354 01 00000400:00000000 01:00000140 00000002     0        0 6 2 0 20 4 31 10 -1",
    ];
    assert.deepEqual(
      [...parseTCPTable(`${head}${rows.join("\n")}\n`)],
      [
        ["8080 0.0.0.0 0", 0],
        ["6443 192.168.0.2 50000", 6],
        ["6443 192.168.0.2 50001", 0],
        ["6443 192.168.0.2 50002", 3],
        ["6443 192.168.0.2 50003", 0],
        ["6443 192.168.0.2 50004", 0],
      ],
    );
  });

  it("knows IPv6, and IPv4 in its coat", () => {
    const rows = [
      "   0: 00000000000000000000000001000000:192B 00000000000000000000000001000000:C350 01 00000400:00000000 01:00000140 0000000A     0        0 2 2 0",
      "   1: 0000000000000000FFFF00000100007F:192B 0000000000000000FFFF00000200007F:C351 01 00000400:00000000 01:00000140 00000003     0        0 2 2 0",
      "   2: B80D0120000000000000000001000000:192B B80D0120000000000000000002000000:C352 01 00000400:00000000 01:00000140 00000004     0        0 2 2 0",
    ];
    assert.deepEqual(
      [...parseTCPTable(`${head}${rows.join("\n")}`)],
      [
        ["6443 ::1 50000", 10],
        ["6443 127.0.0.2 50001", 3],
        ["6443 2001:db8::2 50002", 4],
      ],
    );
  });
});

describe("watchPeer", () => {
  /** The two ends of a connection, the watched one first. */
  async function pair() {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(address && typeof address === "object");
    const client = connect(address.port, "127.0.0.1").pause();
    const [socket] = (await once(server, "connection")) as [Socket];
    return {
      ...{ socket, client },
      [Symbol.dispose]() {
        socket.destroy();
        client.destroy();
        server.close();
      },
    };
  }

  it("leaves a peer alone that is there and does not read", async () => {
    using ends = await pair();
    const { socket } = ends;
    using _watch = watchPeer(socket, 1); // which is over between any two looks
    while (socket.write(Buffer.alloc(1 << 20))); // until its window is closed
    /** The kernel's timer for the connection: 04 while it probes a closed window. */
    const clock = async () => {
      const hex = (port = 0) => port.toString(16).toUpperCase().padStart(4, "0");
      const row = new RegExp(`:${hex(socket.localPort)} \\w+:${hex(socket.remotePort)} 01 \\S+ (\\d\\d):(\\w+)`);
      const [, kind = "", left = ""] = row.exec(await readFile("/proc/self/net/tcp", "latin1")) ?? [];
      return { kind, left: Number.parseInt(left, 16) };
    };
    let probes = 0;
    for (let before = await clock(); probes < 2; ) {
      await lookAtPeers();
      assert.equal(socket.destroyed, false);
      const now = await clock();
      if (now.kind === "04" && now.left > before.left) probes++; // the timer has been set anew
      before = now;
    }
    await lookAtPeers();
    assert.equal(socket.destroyed, false);
  });

  it("looks in time, however often another connection comes to be watched", (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const addresses = { localPort: 1, remoteAddress: "127.0.0.1", remotePort: 2 };
    const other = () => ({ ...addresses, setKeepAlive() {}, bytesRead: 0 });
    let readings = 0;
    const socket = Object.defineProperty(other(), "bytesRead", { get: () => ++readings });
    using stack = new DisposableStack();
    stack.use(watchPeer(socket as never));
    const before = readings;
    for (let second = 0; second < 3; second++) {
      stack.use(watchPeer(other() as never));
      context.mock.timers.tick(1000);
    }
    assert.ok(readings > before);
  });

  it("tells of a reset that nobody would have read", async () => {
    using ends = await pair();
    const { socket, client } = ends;
    socket.pause();
    using _watch = watchPeer(socket, 60_000);
    await lookAtPeers();
    const failed = once(client, "close");
    client.resetAndDestroy();
    await failed;
    const told = once(socket, "close").catch((error: Error) => error);
    await lookAtPeers();
    assert.match(String(await told), /has reset the connection|ECONNRESET/);
  });
});
