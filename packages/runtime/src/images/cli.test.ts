import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describe, it } from "node:test";
import { serveCRI } from "@hawser/cri";
import { imagesAdminService } from "./admin.ts";
import { runImageCommand } from "./cli.ts";
import { imageService } from "./service.ts";
import { dockerArchive, inPieces, testImage } from "./testing/image.ts";
import { testStore } from "./testing/store.ts";

const image = testImage([], { User: "u" });

/** A store served on a socket, and the command line against it. */
async function served() {
  const stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "hawser-cli-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const { store } = stack.use(await testStore());
  const socketPath = join(folder, "s.sock");
  const runtime = { version: async () => ({ version: "v1", runtimeName: "test", runtimeVersion: "1" }) };
  stack.use(await serveCRI({ socketPath, runtime, images: imageService(store), uploads: imagesAdminService(store) }));
  const run = async (argv: string[], stdin: Buffer = Buffer.alloc(0)) => {
    let [stdout, stderr] = ["", ""];
    const code = await runImageCommand(
      {
        stdin: inPieces(stdin),
        stdout: { write: (text) => (stdout += text) },
        stderr: { write: (text) => (stderr += text) },
        env: { HAWSER_RUNTIME_SOCKET: socketPath },
        signal: new AbortController().signal,
      },
      argv,
    );
    return { code, stdout, stderr };
  };
  return { folder, run, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe("hawser image", () => {
  it("loads from a file and from stdin, lists, removes", async () => {
    await using fixture = await served();
    const { folder, run } = fixture;
    const path = join(folder, "image.tar");
    await writeFile(path, dockerArchive(image, ["app:1"]));
    assert.deepEqual(await run(["load", path]), { code: 0, stdout: "docker.io/library/app:1\n", stderr: "" });
    const second = await run(["load", "-"], dockerArchive(image, ["app:2"]));
    assert.deepEqual(second, { code: 0, stdout: "docker.io/library/app:2\n", stderr: "" });
    const short = image.id.slice(7, 19);
    const list = await run(["ls"]);
    assert.match(
      list.stdout,
      new RegExp(`^IMAGE +TAG +IMAGE ID +SIZE\ndocker\\.io/library/app +1 +${short} +0\\.\\dkB\n.*app +2 +`),
    );
    assert.equal((await run(["ls", "-q", "--no-trunc"])).stdout, `${image.id}\n`);
    assert.equal((await run(["rm", short])).stdout, "Deleted: docker.io/library/app:1, docker.io/library/app:2\n");
    assert.equal((await run(["ls", "-q"])).stdout, "");
  });

  it("takes a socket by its path from the working directory", async () => {
    await using fixture = await served();
    const socket = relative(process.cwd(), join(fixture.folder, "s.sock"));
    assert.deepEqual(await fixture.run(["ls", "-q", "--socket", socket]), { code: 0, stdout: "", stderr: "" });
  });

  const failures: [argv: string[], code: number, stderr: RegExp][] = [
    [["rm", "nope"], 1, /^error: no such image: nope\n$/],
    [["load", "/no/such/file"], 1, /^error: ENOENT/],
    [
      ["pull", "127.0.0.1:1/x"],
      1,
      /^error: rpc error: code = Unknown desc = failed to pull and unpack image "127\.0\.0\.1:1\/x:latest": .*connection refused\n$/,
    ],
    [["frob"], 2, /^error: unknown command "frob"\n/],
    [["pull"], 2, /^error: "pull" does not take 0 names\n/],
    [["ls", "--frob"], 2, /^error: Unknown option '--frob'/],
    [[], 2, /^hawser image: /],
  ];
  for (const [argv, code, stderr] of failures) {
    it(`fails clearly: ${argv.join(" ")}`, async () => {
      await using fixture = await served();
      const result = await fixture.run(argv);
      assert.equal(result.code, code);
      assert.match(result.stderr, stderr);
    });
  }

  it("has help", async () => {
    await using fixture = await served();
    const { run } = fixture;
    const { code, stdout } = await run(["--help"]);
    assert.equal(code, 0);
    assert.match(stdout, /hawser image load ARCHIVE/);
  });

  it("a corrupt archive is an error of the runtime", async () => {
    await using fixture = await served();
    const { run } = fixture;
    const { code, stderr } = await run(["load", "-"], Buffer.from("rubbish".repeat(100)));
    assert.equal(code, 1);
    assert.match(stderr, /^error: rpc error: code = Unknown desc = tar header has a wrong/);
  });
});
