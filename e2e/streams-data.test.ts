// What goes through an exec comes out as it went in, all of it, and the exit code after it: by genuine clients and ours.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createCipheriv, createHash } from "node:crypto";
import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { exitCode } from "@hawser/api";
import { collect } from "@hawser/streaming/testing";
import { background, run } from "@hawser/testing";
import { type Client, digestOf, long, openInBox, type StreamCluster, startStreamCluster } from "./stream-cluster.ts";

const MiB = 1024 * 1024;
/** Both ways at once, for each client. */
const bulk = (long ? 1024 : 64) * MiB;

describe("streams: what goes in comes out", () => {
  let cluster: StreamCluster;
  before(async () => {
    cluster = await startStreamCluster();
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const protocols = [
    { transport: "spdy", protocol: "channel.k8s.io" },
    { transport: "spdy", protocol: "v2.channel.k8s.io" },
    { transport: "spdy", protocol: "v3.channel.k8s.io" },
    { transport: "spdy", protocol: "v4.channel.k8s.io", code: true },
    { transport: "websocket", protocol: "channel.k8s.io" },
    { transport: "websocket", protocol: "base64.channel.k8s.io" },
    { transport: "websocket", protocol: "v4.channel.k8s.io", code: true },
    { transport: "websocket", protocol: "v4.base64.channel.k8s.io", code: true },
    { transport: "websocket", protocol: "v5.channel.k8s.io", code: true },
  ] as const;
  const endings: { name: string; command: string[]; want: number; stderr?: RegExp }[] = [
    { name: "0", command: ["true"], want: 0 },
    { name: "1", command: ["false"], want: 1 },
    { name: "255", command: ["sh", "-c", "exit 255"], want: 255 },
    { name: "126, not executable", command: ["/etc/passwd"], want: 126, stderr: /ermission denied/ },
    { name: "127, not there", command: ["no-such-program"], want: 127, stderr: /no-such-program/ },
    ...([1, 2, 6, 9, 15] as const).map((signal) => ({
      name: `128 + signal ${signal}`,
      command: ["sh", "-c", `kill -${signal} $$`],
      want: 128 + signal,
    })),
  ];

  for (const { transport, protocol, ...rest } of protocols) {
    it(`exit codes over ${transport}, ${protocol}`, async () => {
      for (const { name, command, want, stderr } of endings) {
        await using session = await openInBox(cluster, command, { transports: [transport], protocols: [protocol] });
        assert.equal(session.protocol, protocol);
        assert.ok(session.stdout && session.stderr);
        const [status, , said] = await Promise.all([session.status, collect(session.stdout), collect(session.stderr)]);
        if (stderr) assert.match(said.toString(), stderr, name);
        if ("code" in rest || want === 0) assert.equal(exitCode(status), want, name);
        else {
          // Before v4 there is a text for people and nothing else.
          assert.equal(status.status, "Failure", name);
          assert.match(status.message ?? "", new RegExp(`exit status ${want}$`), name);
        }
      }
    });
  }

  it("SPDY has no v5: who offers it gets v4, who offers nothing else is refused with the real words", async () => {
    const offer = { transports: ["spdy"] as const, protocols: ["v5.channel.k8s.io", "v4.channel.k8s.io"] };
    await using session = await openInBox(cluster, ["true"], offer);
    assert.equal(session.protocol, "v4.channel.k8s.io");
    await assert.rejects(openInBox(cluster, ["true"], { ...offer, protocols: ["v5.channel.k8s.io"] }), {
      message: /unable to negotiate protocol: client supports \[v5\.channel\.k8s\.io\], server accepts \[v4\./,
    });
  });

  it("exit codes by genuine clients and ours", async () => {
    for (const { name, command, env } of cluster.clients) {
      for (const { command: words, want } of endings) {
        const { code } = await run(command(["exec", "box", "--", ...words]), { env });
        assert.equal(code, want, `${name}: ${words.join(" ")}`);
      }
    }
  });

  it(`${bulk / MiB} MiB of noise in and out at once, every byte, and then the exit code`, {
    timeout: 900_000,
  }, async () => {
    for (const client of cluster.clients) {
      const { sent, got, code } = await echo(client, ["sh", "-c", "cat; exit 7"], bulk);
      assert.deepEqual({ ...got, code }, { ...sent, code: 7 }, client.name);
    }
  });

  it(`a line of ${long ? 100 : 16} MiB`, async () => {
    const size = (long ? 100 : 16) * MiB;
    for (const { name, command, env } of cluster.clients) {
      const script = `head -c ${size} /dev/zero | tr '\\0' x`;
      const child = spawn(...words(command(["exec", "box", "--", "sh", "-c", script])), {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [got, [code]] = await Promise.all([digestOf(child.stdout), once(child, "close")]);
      const want = await digestOf(Readable.from(filled("x", size)));
      assert.deepEqual({ ...got, code }, { ...want, code: 0 }, name);
    }
  });

  it("both outputs, whole and apart, before the exit code", async () => {
    const size = 4 * MiB;
    const script = `head -c ${size} /dev/zero | tr '\\0' o & head -c ${size} /dev/zero | tr '\\0' e >&2; wait; exit 5`;
    for (const { name, command, env } of cluster.clients) {
      const { code, stdout, stderr } = await run(command(["exec", "box", "--", "sh", "-c", script]), { env });
      assert.equal(stdout, "o".repeat(size), name);
      assert.equal(stderr.slice(0, size), "e".repeat(size), name);
      assert.equal(code, 5, name);
    }
  });

  it("a reader that takes its time gets all of it, and then the exit code", async () => {
    const size = 8 * MiB;
    for (const { name, command, env } of cluster.clients) {
      const script = `head -c ${size} /dev/zero; exit 9`;
      const child = spawn(...words(command(["exec", "box", "--", "sh", "-c", script])), {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "ignore"],
      });
      const closed = once(child, "close");
      let bytes = 0;
      for await (const chunk of child.stdout) {
        bytes += chunk.length;
        await delay(3); // the slowness is what is tested
      }
      assert.equal(bytes, size, name);
      assert.equal((await closed)[0], 9, name);
    }
  });

  it("a process that ends without reading its stdin ends the call at once, though its input never ends", async () => {
    for (const { name, command, env } of cluster.clients) {
      const line = command(["exec", "-i", "box", "--", "sh", "-c", "exit 3"]);
      // Input that ends at once: how long two starts of the client take here and now.
      const start = performance.now();
      for (const _ of [1, 2]) assert.equal((await run(line, { env, input: "" })).code, 3, name);
      const usual = performance.now() - start;
      // Silent and open.
      await using quiet = background(line, { env });
      const begin = performance.now();
      assert.equal((await quiet.exit).code, 3, name);
      // Pouring.
      const child = spawn(...words(line), { env: { ...process.env, ...env }, stdio: ["pipe", "ignore", "ignore"] });
      const closed = once(child, "close");
      await pipeline(forever(Buffer.alloc(64 * 1024)), child.stdin).catch(() => {}); // its end cuts the pipe
      assert.equal((await closed)[0], 3, name);
      const took = performance.now() - begin;
      assert.ok(took < usual * 2 + 4000, `${name}: ${took} ms, and ${usual} ms with input that ends`);
    }
  });

  it("-i without input, with a closed stdin, and without -i: the process sees its end at once", async () => {
    for (const { name, command, env } of cluster.clients) {
      for (const redirection of ["</dev/null", "<&-"]) {
        const line = command(["exec", "-i", "box", "--", "sh", "-c", "cat; echo end"]).map(quoted).join(" ");
        const { stdout, code } = await run(["sh", "-c", `${line} ${redirection}`], { env });
        assert.deepEqual([stdout, code], ["end\n", 0], `${name} ${redirection}`);
      }
      const { stdout } = await run(command(["exec", "box", "--", "sh", "-c", "cat; echo end"]), { env, input: "lost" });
      assert.equal(stdout, "end\n", name);
    }
  });

  it("a process that closes its outputs early still gets all of its stdin", async () => {
    const size = 64 * MiB;
    for (const client of cluster.clients) {
      const script = "exec >&- 2>&-; sha256sum >/tmp/sum; exit 4";
      const { sent, code } = await echo(client, ["sh", "-c", script], size);
      assert.equal((await cluster.inBox("cat /tmp/sum")).split(" ")[0], sent.sha256, client.name);
      assert.equal(code, 4, client.name);
    }
  });

  it("stdin's end reaches the process while its output goes on", async () => {
    for (const { name, command, env } of cluster.clients) {
      const script = "n=$(wc -c); echo $n; head -c 100000 /dev/zero";
      const line = command(["exec", "-i", "box", "--", "sh", "-c", script]);
      const { stdout, code } = await run(line, { env, input: "12345" });
      assert.deepEqual([stdout.length, stdout.slice(0, 2), code], [100_002, "5\n", 0], name);
    }
  });
});

/** Sends noise into an exec, and takes what comes back. */
async function echo({ command, env }: Client, remote: string[], size: number) {
  const child = spawn(...words(command(["exec", "-i", "box", "--", ...remote])), {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const closed = once(child, "close");
  const hash = createHash("sha256");
  const noise = async function* () {
    for await (const chunk of filled("\0", size).pipe(
      createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)),
    )) {
      hash.update(chunk);
      yield chunk;
    }
  };
  const [got] = await Promise.all([digestOf(child.stdout), pipeline(noise(), child.stdin)]);
  const [code] = await closed;
  return { sent: { sha256: hash.digest("hex"), bytes: size }, got, code };
}

function filled(character: string, size: number): Readable {
  const block = Buffer.alloc(64 * 1024, character);
  return Readable.from(
    (function* () {
      for (let left = size; left > 0; left -= block.length)
        yield left >= block.length ? block : block.subarray(0, left);
    })(),
  );
}

async function* forever(block: Buffer): AsyncGenerator<Buffer> {
  for (;;) yield block;
}

function words([program = "", ...args]: string[]): [string, string[]] {
  return [program, args];
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
