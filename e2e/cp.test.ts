// hawser cp through the whole path, into and out of containers with GNU's tar, with busybox's, and with none.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { copyFrom, copyTo, createClient, loadKubeconfig } from "@hawser/client";
import { background, eventually, run } from "@hawser/testing";
import { createPod, long, type StreamCluster, startStreamCluster } from "./stream-cluster.ts";

const MiB = 1024 * 1024;
/** Of a large file. */
const large = (long ? 2048 : 192) * MiB;

describe("cp through the whole path", () => {
  let cluster: StreamCluster;
  let folder: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), "hawser-cp-"));
    stack.defer(() => fs.rm(folder, { recursive: true, force: true }));
    cluster = stack.use(await startStreamCluster());
    await createPod(cluster, "gnu", { image: "nginx" });
    await createPod(cluster, "bare", { command: ["sleep", "1000000"] });
    await inPod("bare", "for name in tar test; do rm $(which $name); done");
  });
  after(() => stack.disposeAsync());

  function cp(args: string[], more: { kubeconfig?: string; words?: string[] } = {}) {
    const command = cluster.hawser.command(["cp", ...args], more.kubeconfig);
    return run([...(more.words ?? []), ...command], { env: cluster.hawser.env, cwd: folder, timeoutMs: 120_000 });
  }
  async function inPod(pod: string, script: string): Promise<string> {
    const words = cluster.hawser.command(["exec", pod, "--", "sh", "-c", script]);
    const { code, stdout, stderr } = await run(words, { env: cluster.hawser.env });
    assert.equal(code, 0, stderr);
    return stdout;
  }
  /** Every file's content, every link's target, every mode, owner and time to the second, of a tree here or in a pod. */
  const lookAt = [
    "find . -type f -exec sh -c 'for f; do sha256sum <\"$f\"; done' sh {} +",
    "find . -type l -exec readlink {} +",
    "find . ! -type l -exec stat -c '%n %a %u %g %h %Y' {} +",
  ]
    .map((command) => `${command} | sort`)
    .join("; ");
  const lookHere = async (path: string) => (await run(["sh", "-c", lookAt], { cwd: path })).stdout;

  async function makeTree(path: string): Promise<void> {
    await fs.mkdir(join(path, "sub/empty"), { recursive: true });
    const names = ["empty", "with space", "new\nline", "-dash", "ünïcode", "$(id) `x` 'quoted'", `${"n".repeat(180)}`];
    for (const [index, name] of names.entries()) await fs.writeFile(join(path, name), "x".repeat(index * 1000));
    const deep = join(path, "d".repeat(120), "e".repeat(120));
    await fs.mkdir(deep, { recursive: true });
    await fs.writeFile(join(deep, "f".repeat(120)), "deep");
    await fs.mkdir(join(path, "links"));
    await fs.writeFile(join(path, "links/file"), "linked");
    await fs.link(join(path, "links/file"), join(path, "links/hard"));
    await fs.symlink("../with space", join(path, "links/link"));
    await fs.chmod(join(path, "sub/empty"), 0o700);
    await fs.chmod(join(path, "ünïcode"), 0o640);
    await fs.chown(join(path, "-dash"), 1234, 4321);
    for (const name of ["sub/empty", "-dash", "sub"]) await fs.utimes(join(path, name), 1_600_000_000, 1_600_000_000);
  }

  for (const pod of ["gnu", "box", "bare"]) {
    it(`${pod}: a tree with one of everything goes in and comes back as it was`, async () => {
      const here = join(folder, `tree-${pod}`);
      await makeTree(here);
      const there = await cp([here, `default/${pod}:/tmp/tree`]);
      assert.deepEqual([there.code, there.stdout, there.stderr], [0, "", ""]);
      if (pod === "gnu")
        assert.match(await inPod(pod, "stat -c '%u %g %Y' /tmp/tree/-dash"), /^1234 4321 1600000000$/m); // it has no find
      // busybox's tar makes links at its end, after it has set their directory's time.
      const timeless = (text: string) => (pod === "box" ? text.replace(/^(\.\/links 755 .*) \d+$/m, "$1") : text);
      const seen = pod === "gnu" ? "" : await inPod(pod, `cd /tmp/tree && { ${lookAt}; }`);
      if (seen) assert.equal(timeless(seen), timeless(await lookHere(here)));
      const back = join(folder, `back-${pod}`);
      const again = await cp([`${pod}:/tmp/tree`, back]);
      assert.deepEqual([again.code, again.stdout, again.stderr], [0, "", ""]);
      assert.equal(timeless(await lookHere(back)), timeless(await lookHere(here)));
    });

    it(`${pod}: set-id bits go in and do not come out; a pipe stays where it is`, async () => {
      const here = join(folder, `run-${pod}`);
      await fs.writeFile(here, "#!/bin/sh\n");
      await fs.chmod(here, 0o4755);
      assert.equal((await cp([here, `${pod}:/tmp/run`])).code, 0);
      assert.equal(
        (await inPod(pod, "stat -c %a /tmp/run; mkdir -p /tmp/odd; mkfifo /tmp/odd/pipe; echo x >/tmp/odd/x")).trim(),
        "4755",
      );
      assert.equal((await cp([`${pod}:/tmp/run`, `${here}-back`])).code, 0);
      assert.equal((await fs.stat(`${here}-back`)).mode & 0o7777, 0o755);
      const { code, stderr } = await cp([`${pod}:/tmp/odd`, join(folder, `odd-${pod}`)]);
      assert.deepEqual([code, stderr], [0, 'warning: skipping special file: "odd/pipe"\n']);
      assert.deepEqual(await fs.readdir(join(folder, `odd-${pod}`)), ["x"]);
    });

    it(`${pod}: a file into a directory, a link that is followed, and what is not there`, async () => {
      await fs.writeFile(join(folder, "one"), "one");
      assert.equal((await cp(["one", `${pod}:/tmp`])).code, 0);
      assert.equal(await inPod(pod, "ln -sf one /tmp/to-one; cat /tmp/one"), "one");
      const target = join(folder, `dir-${pod}`);
      await fs.mkdir(target);
      assert.equal((await cp([`${pod}:/tmp/to-one`, target])).code, 0);
      assert.equal(await fs.readFile(join(target, "one"), "utf8"), "one");
      const missing = await cp([`${pod}:/no/such`, join(folder, "x")]);
      assert.notEqual(missing.code, 0);
      assert.match(
        missing.stderr,
        /(No such file or directory|no such file or directory)[\s\S]*command terminated with exit code \d\n$/,
      );
      const nowhere = await cp(["one", `${pod}:/no/such/place`]);
      assert.notEqual(nowhere.code, 0);
    });

    it(`${pod}: --no-preserve leaves modes, owners and times to the other side`, async () => {
      const here = join(folder, `plain-${pod}`);
      await fs.writeFile(here, "x");
      await fs.chmod(here, 0o600);
      await fs.chown(here, 1234, 1234);
      await fs.utimes(here, 1_600_000_000, 1_600_000_000);
      assert.equal((await cp(["--no-preserve", here, `${pod}:/tmp/plain`])).code, 0);
      const [uid, time] = (await inPod(pod, "stat -c '%u %Y' /tmp/plain")).split(" ");
      assert.equal(uid, "0");
      assert.ok(Number(time) > 1_700_000_000);
    });
  }

  it("holes stay holes, both ways, where tar can", async () => {
    const here = join(folder, "sparse");
    const file = await fs.open(here, "w");
    await file.truncate(96 * MiB);
    await file.write("middle", 50 * MiB);
    await file.close();
    for (const pod of ["gnu", "bare"]) {
      const begin = performance.now();
      assert.equal((await cp([here, `${pod}:/tmp/sparse`])).code, 0);
      assert.equal((await cp([`${pod}:/tmp/sparse`, `${here}-${pod}`])).code, 0);
      const { size, blocks } = await fs.stat(`${here}-${pod}`);
      assert.equal(size, 96 * MiB);
      assert.ok(blocks * 512 < MiB, `${pod}: ${blocks} blocks after ${performance.now() - begin} ms`);
      assert.ok(Number(await inPod(pod, "stat -c %b /tmp/sparse")) * 512 < MiB, pod);
      await inPod(pod, "rm /tmp/sparse");
    }
  });

  it("a large file streams in bounded memory, by the library, and arrives whole", async () => {
    await using client = createClient(await loadKubeconfig({ path: cluster.kubeconfig }));
    const here = join(folder, "large");
    const block = randomBytes(MiB);
    const file = await fs.open(here, "w");
    for (let at = 0; at < large; at += MiB) await file.write(block.fill(at / MiB, 0, 4096));
    await file.close();
    const expected = await digest(here);
    let most = 0;
    const onProgress = () => {
      most = Math.max(most, process.memoryUsage.rss());
    };
    const before = process.memoryUsage.rss();
    const place = { namespace: "default", pod: "box", onProgress };
    await copyTo(client, { ...place, from: here, path: "/tmp/large" });
    assert.equal((await inPod("box", "sha256sum /tmp/large")).split(" ")[0], expected);
    await copyFrom(client, { ...place, path: "/tmp/large", to: `${here}-back` });
    assert.equal(await digest(`${here}-back`), expected);
    assert.ok(most - before < 160 * MiB, `grew by ${Math.round((most - before) / MiB)} MiB`);
    await inPod("box", "rm /tmp/large");
    await Promise.all([here, `${here}-back`].map((path) => fs.rm(path)));
  });

  it("goes on where its connection was cut, in both directions, and the result is the same", async () => {
    const tree = join(folder, "cut");
    await fs.mkdir(tree);
    for (let i = 0; i < 6; i++) await fs.writeFile(join(tree, `f${i}`), randomBytes(2 * MiB));
    for (const pod of ["gnu", "box", "bare"]) {
      const relay = await cuttingRelay(cluster.kubeconfig, { cutAfter: [5 * MiB, 3 * MiB] });
      try {
        const words = ["--server", relay.server, "--retries=5"];
        const up = await cp([...words, tree, `${pod}:/tmp/cut`]);
        assert.equal(up.code, 0, `${pod}: ${up.stderr}`);
        assert.equal(up.stderr.match(/^Resuming copy at \d+ bytes, retry \d\/5$/gm)?.length, 2, up.stderr);
        const sums = "cd /tmp/cut && sha256sum f* && stat -c '%n %a %Y' . f*";
        assert.equal(await inPod(pod, sums), (await run(["sh", "-c", sums.replace("/tmp/cut", tree)])).stdout, pod);
        relay.cut([5 * MiB, 3 * MiB]);
        const back = join(folder, `cut-${pod}`);
        const down = await cp([...words, `${pod}:/tmp/cut`, back]);
        assert.equal(down.code, 0, `${pod}: ${down.stderr}`);
        assert.match(down.stderr, /^Resuming copy at \d{7,} bytes, retry 1\/5\n/);
        assert.equal(await lookHere(back), await lookHere(tree), pod);
        relay.cut([2 * MiB]);
        const once = await cp(["--server", relay.server, `${pod}:/tmp/cut`, `${back}-once`]);
        assert.equal(once.code, 255, once.stderr);
        const half = (await fs.readdir(`${back}-once`)).filter((name) => name.startsWith("."));
        assert.deepEqual(half, [], "nothing half is left");
      } finally {
        await relay[Symbol.asyncDispose]();
      }
    }
  });

  it("goes on in the middle of a large upload", async () => {
    const here = join(folder, "middle");
    await fs.writeFile(here, randomBytes(16 * MiB));
    for (const pod of ["gnu", "box"]) {
      const relay = await cuttingRelay(cluster.kubeconfig, { cutAfter: [8 * MiB] });
      try {
        const { code, stderr } = await cp(["--server", relay.server, "--retries=2", here, `${pod}:/tmp/middle`]);
        assert.deepEqual([code, stderr], [0, "Resuming copy at 0 bytes, retry 1/2\n"], pod);
        assert.equal((await inPod(pod, "sha256sum /tmp/middle")).split(" ")[0], await digest(here));
        assert.ok(relay.passed() < 22 * MiB, `${relay.passed()} bytes passed`);
      } finally {
        await relay[Symbol.asyncDispose]();
      }
    }
  });

  it("shows how far it is on a terminal, and nothing elsewhere", async () => {
    const here = join(folder, "shown");
    await fs.writeFile(here, randomBytes(48 * MiB));
    // A line wide enough for all of it, whatever the rate.
    const quoted = cluster.hawser
      .command(["cp", here, "gnu:/tmp/shown"])
      .map((word) => `'${word}'`)
      .join(" ");
    const shown = await run(["script", "-qec", `stty cols 120; ${quoted}`, "/dev/null"], {
      env: { ...cluster.hawser.env, TERM: "xterm" },
    });
    assert.equal(shown.code, 0);
    assert.match(shown.stdout, /shown {2}\[#* *\] +\d+% {2}[\d.]+ MiB of 48\.0 MiB {2}[\d.]+ [MKG]iB\/s/);
    assert.ok(shown.stdout.trimEnd().endsWith("\x1b[K"), "the line is taken away at the end");
    await inPod("gnu", "rm /tmp/shown");
  });

  it("what genuine kubectl copies in, ours copies out, and the other way round", async () => {
    const [oldest] = cluster.clients;
    assert.ok(oldest);
    const kubectl = (args: string[]) => run(oldest.command(args), { env: oldest.env, cwd: folder });
    await fs.writeFile(join(folder, "both"), randomBytes(MiB));
    assert.equal((await kubectl(["cp", "both", "gnu:/tmp/both"])).code, 0);
    assert.equal((await cp(["gnu:/tmp/both", "both-2"])).code, 0);
    assert.equal((await cp(["both-2", "gnu:/tmp/both-3"])).code, 0);
    assert.equal((await kubectl(["cp", "gnu:/tmp/both-3", "both-4"])).code, 0);
    assert.equal(await digest(join(folder, "both-4")), await digest(join(folder, "both")));
  });

  it("an interrupted upload leaves what was in its place, and nothing beside it, however the client goes", async () => {
    const here = join(folder, "slow");
    const file = await fs.open(here, "w");
    await file.truncate(64 * MiB); // zeros, for busybox's tar
    await file.close();
    await using relay = await cuttingRelay(cluster.kubeconfig, { stopAfter: 2 * MiB });
    for (const signal of ["SIGKILL", "SIGINT"] as const) {
      await inPod("box", "mkdir -p /tmp/upload; echo old >/tmp/upload/file");
      const list = async () => (await inPod("box", "ls -A /tmp/upload")).trim().split("\n");
      await using copy = background(
        cluster.hawser.command(["cp", "--server", relay.server, here, "box:/tmp/upload/file"]),
        {
          env: cluster.hawser.env,
        },
      );
      await eventually("it has begun", async () => (await list()).length === 2);
      copy.child.kill(signal);
      await copy.exit;
      await eventually("what it made is removed", async () => (await list()).length === 1);
      assert.equal(await inPod("box", "cat /tmp/upload/file"), "old\n");
    }
    await fs.rm(here);
  });

  it("a tree that is added to one that is there leaves no file cut short, though its client is killed", async () => {
    const here = join(folder, "added");
    await fs.mkdir(here);
    await fs.writeFile(join(here, "slow"), "");
    await fs.truncate(join(here, "slow"), 64 * MiB); // zeros, for busybox's tar
    await using relay = await cuttingRelay(cluster.kubeconfig, { stopAfter: 2 * MiB });
    await inPod("box", "mkdir -p /tmp/added; echo old >/tmp/added/slow; echo old >/tmp/added/other");
    await using copy = background(cluster.hawser.command(["cp", "--server", relay.server, here, "box:/tmp"]), {
      env: cluster.hawser.env,
    });
    await eventually("it has begun", async () => Number(await inPod("box", "wc -c </tmp/added/slow || echo 0")) > MiB);
    copy.child.kill("SIGKILL");
    await copy.exit;
    await eventually("what it made is removed", async () => (await inPod("box", "ls -A /tmp/added")) === "other\n");
    await fs.rm(here, { recursive: true });
  });

  it("an interrupted copy leaves no process at the runtime, though that would read on for long", async () => {
    await inPod("bare", "mkdir /tmp/endless; dd if=/dev/null of=/tmp/endless/hole bs=1048576 seek=1048576 count=0");
    const archives = async () => (await run(["ps", "-e", "-o", "args"])).stdout.includes('"/tmp/endless"');
    const here = join(folder, "endless");
    const command = cluster.hawser.command(["cp", "bare:/tmp/endless", here]);
    await using copy = background(command, { env: cluster.hawser.env });
    await eventually("the directory has come", async () => (await fs.stat(here)).isDirectory());
    assert.equal(await archives(), true);
    copy.child.kill("SIGINT");
    assert.equal((await copy.exit).code, 130);
    await eventually("no archive is made any more", async () => !(await archives()));
  });
});

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  const file = await fs.open(path);
  for await (const chunk of file.createReadStream()) hash.update(chunk);
  return hash.digest("hex");
}

/**
 * A relay before the API server that cuts a connection after so many bytes, either way; one number for each that is cut. Of each connection it passes
 * nothing more of what comes after `stopAfter` bytes, but its end.
 */
async function cuttingRelay(
  kubeconfig: string,
  { cutAfter = [], stopAfter = Number.POSITIVE_INFINITY }: { cutAfter?: number[]; stopAfter?: number },
) {
  const { server } = await loadKubeconfig({ path: kubeconfig });
  let cuts = [...cutAfter];
  let total = 0;
  const sockets = new Set<Socket>();
  const relay: Server = createServer((near) => {
    const far = connect(Number(server.port), server.hostname);
    let passed = 0;
    let ended = false;
    const end = () => {
      ended = true;
      near.destroy();
      far.destroy();
    };
    const count = (chunk: Buffer) => {
      passed += chunk.length;
      total += chunk.length;
      if (passed >= stopAfter) {
        near.unpipe(far);
        near.pause(); // and slowly, so that it takes a while until all is lost
        setTimeout(() => near.resume(), 20).unref();
      }
      const [limit] = cuts;
      // What a cut connection had already received is no reason for the next cut.
      if (ended || limit === undefined || passed < limit) return;
      cuts = cuts.slice(1);
      end();
    };
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket
        .on("data", count)
        .on("error", end)
        .on("close", () => {
          sockets.delete(socket);
          end();
        });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const address = relay.address();
  assert.ok(address !== null && typeof address === "object");
  return {
    server: `https://127.0.0.1:${address.port}`,
    /** Bytes in all. */
    passed: () => total,
    cut(after: number[]) {
      cuts = [...after];
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}
