import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { exitStatus } from "@hawser/api";
import type { ServerSession } from "@hawser/streaming";
import { commandLine } from "../testing/command-line.ts";
import { fakeApi, pod } from "../testing/fake-api.ts";

const refused: { name: string; argv: string[]; stderr: RegExp; code?: number }[] = [
  { name: "no paths", argv: [], stderr: /^error: source and destination are required\n/ },
  { name: "three paths", argv: ["a", "b:c", "d"], stderr: /^error: source and destination are required\n/ },
  {
    name: "two local paths",
    argv: ["a", "b"],
    stderr: /^error: one of src or dest must be a remote file specification\n$/,
  },
  {
    name: "two pods",
    argv: ["a:b", "c:d"],
    stderr: /^error: one of src or dest must be a local file specification\n$/,
  },
  { name: "an empty path", argv: ["web:", "x"], stderr: /^error: filepath can not be empty\n$/ },
  {
    name: "a namespace too many",
    argv: ["a/b/c:d", "x"],
    stderr: /^error: filespec must match the canonical format: \[\[namespace\/\]pod:\]file\/path\n$/,
  },
  { name: "no pod's name", argv: [":x", "y"], stderr: /canonical format/ },
  { name: "no such pod", argv: ["nope:/x", "y"], stderr: /^Error from server \(NotFound\): pods "nope" not found\n$/ },
  {
    name: "no such local file",
    argv: ["/no/such/file", "web:/x"],
    stderr: /^error: \/no\/such\/file doesn't exist in local filesystem\n$/,
  },
  {
    name: "a completed pod",
    argv: ["done:/x", "y"],
    stderr: /^error: cannot exec into a container in a completed pod; current phase is Succeeded\n$/,
  },
  { name: "no tar", argv: ["web:/x", "/no/such/folder/y"], stderr: /^error: container "web" of pod "web" has no tar/ },
];

for (const { name, argv, stderr, code = 1 } of refused) {
  it(`cp refuses ${name}`, async () => {
    const done = pod("done", { status: { phase: "Succeeded" } });
    const session = (each: ServerSession) => each.finish(exitStatus(127));
    await using api = await fakeApi({ pods: [pod("web"), done], session });
    const result = await commandLine(["cp", ...argv], { server: api.url }).result;
    assert.match(result.stderr, stderr);
    assert.deepEqual([result.code, result.stdout], [code, ""]);
  });
}

it("cp passes tar's words and exit code on, and says nothing when all is well", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-cp-cli-"));
  try {
    const seen: Buffer[] = [];
    let exit = 0;
    const session = async (each: ServerSession, url: URL) => {
      if (url.searchParams.get("command") === "test") return await each.finish(exitStatus(1));
      for await (const chunk of each.stdin ?? []) seen.push(Buffer.from(chunk));
      if (exit) await each.stderr?.write(Buffer.from("tar: \x1b[2Jno space left\n"));
      await each.finish(exitStatus(exit));
    };
    await using api = await fakeApi({ pods: [pod("web", { containers: ["a", "b"] })], session });
    const path = join(folder, "file");
    await writeFile(path, "content");
    const argv = ["cp", "-c", "b", path, "default/web:/tmp/there"];
    assert.deepEqual(await commandLine(argv, { server: api.url }).result, { code: 0, stdout: "", stderr: "" });
    assert.ok(Buffer.concat(seen).includes("content"));
    assert.match(
      api.requests.at(-1) ?? "",
      /command=sh&command=%2Ftmp&command=[.]hawser-cp-\w+&command=there&command=&command=&command=tar&command=-xpf&command=-&container=b/,
    );
    exit = 2;
    const failed = await commandLine(["cp", path, "web:/tmp/there"], { server: api.url }).result;
    assert.deepEqual(failed, {
      code: 2,
      stdout: "",
      stderr: 'Defaulted container "a" out of: a, b\ntar: ^[[2Jno space left\ncommand terminated with exit code 2\n',
    });
    assert.equal(await readFile(path, "utf8"), "content");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it("cp ends with 255 and where it broke off when the session does, after its retries", async () => {
  const session = async (each: ServerSession) => {
    await each.stdout?.write(Buffer.alloc(100));
    throw new Error("cut");
  };
  await using api = await fakeApi({ pods: [pod("web")], session });
  const { code, stderr } = await commandLine(["cp", "--retries=1", "web:/x", "/tmp/no-such-file-here"], {
    server: api.url,
  }).result;
  assert.equal(code, 255);
  assert.match(stderr, /^Resuming copy at 0 bytes, retry 1\/1\nerror: the session broke off: .*\nThe API server /);
});
