import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { collect } from "@hawser/streaming/testing";
import { eventually, kubectls } from "@hawser/testing";
import { startFakeAPI } from "./fake-api.ts";

const home = await mkdtemp(path.join(os.tmpdir(), "hawser-kubectl-"));
after(() => rm(home, { recursive: true, force: true }));

const running = new Set<ChildProcess>();
// What a test has left behind because it failed.
after(() => {
  for (const child of running) child.kill("SIGKILL");
});

function start(file: string, port: number, args: string[]): ChildProcess {
  const env = { ...process.env, HOME: home, KUBECONFIG: "/dev/null", KUBECACHEDIR: path.join(home, "cache") };
  const child = spawn(file, ["--server", `http://127.0.0.1:${port}`, ...args], { env, stdio: "pipe" });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

async function run(file: string, port: number, args: string[], input?: Buffer) {
  const child = start(file, port, args);
  const exited = once(child, "exit");
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  assert.ok(child.stdout && child.stderr);
  const [out, err] = await Promise.all([collect(child.stdout), collect(child.stderr)]);
  const [code] = await exited;
  return { code, out, err: err.toString() };
}

const found = await kubectls();
const ways = [{ nextHop: undefined }, { nextHop: "spdy" }, { nextHop: "websocket" }] as const;

describe("every kubectl", { concurrency: 4 }, () => {
  for (const { version, path: file, minor } of found) {
    for (const { nextHop } of ways) {
      describe(`kubectl ${version}, ${nextHop ? `through a hop whose next knows ${nextHop}` : "directly"}`, {
        concurrency: 1,
      }, () => {
        it("execs: both outputs, the exit code, and the expected wire", async () => {
          await using api = await startFakeAPI(nextHop);
          const { code, out, err } = await run(file, api.port, [
            "exec",
            "p",
            "--",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 3",
          ]);
          assert.equal(code, 3, err);
          assert.equal(out.toString(), "out\n");
          assert.match(err, /^err\n/);
          const webSocket = minor >= 30 && nextHop !== "spdy";
          assert.match(
            api.sessions.join(),
            webSocket ? /^GET websocket v5\.channel\.k8s\.io$/ : /^POST SPDY\/3\.1 .*v4\.channel/,
          );
        });

        it("carries 20 MB through cat unharmed", async () => {
          await using api = await startFakeAPI(nextHop);
          const sent = randomBytes(20_000_000);
          const { code, out, err } = await run(file, api.port, ["exec", "-i", "p", "--", "cat"], sent);
          assert.equal(code, 0, err);
          const hash = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
          assert.equal(hash(out), hash(sent));
        });

        it("ends though stdin stays open", async () => {
          await using api = await startFakeAPI(nextHop);
          const child = start(file, api.port, ["exec", "-i", "p", "--", "sh", "-c", "exit 4"]);
          const [code] = await once(child, "exit");
          assert.equal(code, 4);
        });

        it("a killed kubectl ends the process, even one that reads nothing of a full stdin", async () => {
          await using api = await startFakeAPI(nextHop);
          const child = start(file, api.port, ["exec", "-i", "p", "--", "sh", "-c", "echo up; exec sleep 1000"]);
          assert.ok(child.stdout && child.stdin);
          child.stdin.on("error", () => {});
          for (let turn = 0; turn < 64; turn++) child.stdin.write(Buffer.alloc(1024 * 1024));
          await once(child.stdout, "data");
          const exited = once(child, "exit");
          child.kill("SIGKILL");
          await exited;
          // The next of our pings tells, at most 5 s later.
          await eventually("the process is ended", async () => api.killed === 1, { timeoutMs: 15_000 });
        });

        it("forwards ports, and tells of a connection refused in between", async () => {
          await using api = await startFakeAPI(nextHop);
          const echo = createServer({ allowHalfOpen: true }, (socket: Socket) => socket.pipe(socket)).listen(
            0,
            "127.0.0.1",
          );
          await once(echo, "listening");
          await using stack = new AsyncDisposableStack();
          stack.defer(() => void echo.close());
          const address = echo.address();
          const port = typeof address === "object" && address ? address.port : 0;
          const child = start(file, api.port, ["port-forward", "p", `:${port}`, ":1"]);
          stack.defer(async () => {
            if (child.kill()) await once(child, "exit");
          });
          assert.ok(child.stdout && child.stderr);
          let said = "";
          let complained = "";
          child.stderr.on("data", (chunk) => {
            complained += chunk;
          });
          const { promise: listening, resolve } = Promise.withResolvers<number[]>();
          child.stdout.on("data", (chunk) => {
            said += chunk;
            const ports = [...said.matchAll(/127\.0\.0\.1:(\d+) ->/g)].map(([, local]) => Number(local));
            if (ports.length === 2) resolve(ports);
          });
          const [good = 0, bad = 0] = await listening;
          const talk = async (to: number, text: string) => {
            const socket = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
            socket.end(text);
            return (await collect(socket).catch(() => Buffer.from("reset"))).toString();
          };
          const big = "x".repeat(3_000_000);
          assert.equal(await talk(good, "first"), "first");
          assert.match(await talk(bad, "refused"), /^(reset)?$/);
          assert.equal(await talk(good, big), big);
          // A word on its error stream would have ended the session (from 1.23 on): a stream that is reset unreplied does not.
          assert.match(complained, /error creating forwarding stream.*stream reset/i);
        });
      });
    }
  }
});

it("finds a kubectl to be tested with", { skip: found.length === 0 ? "no kubectl on this machine" : false }, () => {});
