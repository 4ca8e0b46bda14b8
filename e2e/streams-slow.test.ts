// Clients that begin and never come to the end of it: a handshake, a request's headers.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTCP, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTLS } from "node:tls";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";
import { long } from "./stream-cluster.ts";

describe("clients that are slow for ever", { skip: !long && "make test-long" }, () => {
  let cluster: OwnCluster;
  before(async () => {
    cluster = await startOwnCluster();
    await cluster.runPod("web", ["--image=busybox", "--", "sleep", "100000"]);
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  /** Sends a byte a second behind a beginning, until the server closes. Resolves with the seconds that took, and what it said. */
  async function drip(socket: Socket, beginning: string, every: string) {
    const begun = performance.now();
    let said = "";
    socket.on("error", () => {}); // a write on what the server has closed
    socket.on("data", (data) => {
      said += data;
    });
    socket.write(beginning);
    const timer = setInterval(() => every && socket.write(every), 1000);
    await once(socket, "close").finally(() => clearInterval(timer));
    return { seconds: (performance.now() - begun) / 1000, said };
  }

  it("are dropped by the API server and the kubelet, and others go on meanwhile", { timeout: 200_000 }, async () => {
    const { server, tls } = cluster.client.config;
    const node = await cluster.mustKubectl(["get", "nodes", "-o", "json"]);
    const { status } = JSON.parse(node).items[0];
    const kubelet = {
      host: status.addresses.find(({ type }: { type: string }) => type === "InternalIP").address,
      port: status.daemonEndpoints.kubeletEndpoint.Port,
    };
    const apiserver = { host: server.hostname, port: Number(server.port) };
    const slow = [apiserver, kubelet].flatMap((address) => {
      const secured = connectTLS({ ...tls, ...address, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
      return [
        drip(secured, "GET /healthz HTTP/1.1\r\nHost: h\r\nX-Slow: ", "a"),
        drip(connectTCP(address), "\x16\x03\x01", ""), // the beginning of a handshake
      ];
    });
    let over = false;
    const ended = Promise.all(slow).finally(() => {
      over = true;
    });
    while (!over) {
      assert.equal(await cluster.mustKubectl(["exec", "web", "--", "echo", "here"]), "here\n");
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 5000))]);
    }
    for (const [index, { seconds, said }] of (await ended).entries()) {
      assert.ok(seconds < 130, `${seconds} s`);
      if (index % 2 === 0) assert.match(said, /^HTTP\/1\.1 408 /);
    }
  });
});
