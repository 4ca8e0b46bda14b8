import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { copyTo, createClient, logs, portForward } from "@hawser/client";
import { acceptPortForward } from "@hawser/streaming";
import { checkout, run } from "@hawser/testing";
import { Cp, Exec, Log, PortForward } from "@kubernetes/client-node";
import { fakeServer } from "../../../packages/client/src/testing/fake-server.ts";
import { parseTables } from "../../interop/table.ts";
import { type Lack, theirConfig } from "./lack.ts";

const pod = { namespace: "default", pod: "web" };

export const others: Lack[] = [
  {
    title: "`cp`: when it is done",
    theirs: "resolves while nothing has been copied yet, even before the server has answered",
    ours: "resolves with what was copied once it is there, and rejects when it is not",
    async show() {
      const answer = Promise.withResolvers<void>();
      await using server = await fakeServer(
        (_, response) => response.destroy(),
        async ({ socket }) => {
          await answer.promise;
          socket.destroy();
        },
      );
      const opened: Promise<unknown>[] = [];
      class Watched extends Exec {
        override exec(...given: Parameters<Exec["exec"]>) {
          const session = super.exec(...given);
          session.catch(() => {}); // it would end this process: nobody waits for it
          opened.push(session);
          return session;
        }
      }
      const config = theirConfig(server.config);
      await new Cp(config, new Watched(config)).cpToPod("default", "web", "c", import.meta.dirname, "/tmp");
      await using client = createClient(server.config);
      const copying = copyTo(client, { ...pod, from: { content: "x", size: 1, name: "x" }, path: "/tmp" });
      copying.catch(() => {});
      assert.equal(await Promise.race([copying, new Promise((resolve) => setTimeout(resolve, 300, "waits"))]), "waits");
      answer.resolve();
      await assert.rejects(copying);
      await assert.rejects(Promise.all(opened));
    },
  },
  {
    title: "A log that is cut short",
    theirs: "ends the whole program, by an `error` event that nobody can listen to",
    ours: "the loop throws a `ConnectionError`",
    async show() {
      await using server = await fakeServer((_, response) => {
        response.writeHead(200, { "Content-Type": "text/plain" });
        response.write("half\n", () => setTimeout(() => response.destroy(), 50));
      });
      const { tls, server: url } = server.config;
      const program = join(import.meta.dirname, "cut-log.ts");
      const env = { TEST_SERVER: url.origin, TEST_CA: String(tls.ca) };
      const { code, stdout, stderr } = await run([process.execPath, program], { env });
      assert.notEqual(code, 0);
      assert.equal(stdout, "half\n");
      assert.match(stderr, /Unhandled 'error' event|terminated/);
      await using client = createClient(server.config);
      const all = Array.fromAsync(logs(client, pod));
      await assert.rejects(all, { name: "ConnectionError" });
    },
  },
  {
    title: "`logs` of nothing but what comes (`tailLines: 0`)",
    theirs: "asks for the whole log",
    ours: "asks for `tailLines=0`",
    async show() {
      await using server = await fakeServer((_, response) => response.end());
      await new Log(theirConfig(server.config)).log("default", "web", "c", new PassThrough(), { tailLines: 0 });
      await using client = createClient(server.config);
      await Array.fromAsync(logs(client, { ...pod, tailLines: 0 }));
      const [theirs = "", ours = ""] = server.requests;
      assert.doesNotMatch(theirs, /tailLines/);
      assert.match(ours, /tailLines=0/);
    },
  },
  {
    title: "Several ports, and many connections",
    theirs: "one port and one connection; listening is left to the caller",
    ours: "any number of either, over one session; `portForward` listens, `connectPort` does not",
    async show() {
      await using server = await fakeServer(
        (_, response) => response.destroy(),
        async (upgrade) => {
          const session = await acceptPortForward(upgrade, { connect: () => Promise.reject(new Error("none")) });
          await session.closed.catch(() => {});
        },
      );
      const streams = [new PassThrough(), null, new PassThrough()] as const;
      const theirs = new PortForward(theirConfig(server.config)).portForward("default", "web", [80, 81], ...streams);
      await assert.rejects(theirs, /Only one port is currently supported/);
      await using client = createClient(server.config);
      const ports = [80, 81].map((remote) => ({ local: 0, remote }));
      await using forward = await portForward(client, { ...pod, ports, addresses: ["127.0.0.1"] });
      assert.equal(forward.listeners.length, 2);
    },
  },
  {
    title: "The end of one direction of a forwarded connection",
    theirs: "cuts the other: the answer is lost (docs/interop.md, port-forward half-closed)",
    ours: "each ends by itself",
    async show() {
      const written = parseTables(await readFile(join(checkout, "docs/interop.md"), "utf8"));
      const cell = (client: string) => written.get(`hawser with crun/${client}/port-forward, half-closed`);
      assert.deepEqual([cell("client-node"), cell("hawser SPDY"), cell("hawser WebSocket")], [false, true, true]);
    },
  },
];
