import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { refuseUpgrade, type ServerSession } from "@hawser/streaming";
import { Interrupted } from "../errors.ts";
import { bytes } from "../testing/bytes.ts";
import { commandLine } from "../testing/command-line.ts";
import { type FakeApiOptions, fakeApi, pod } from "../testing/fake-api.ts";

async function echo(session: ServerSession): Promise<void> {
  for await (const chunk of session.stdin ?? []) await session.stdout?.write(chunk);
  await session.finish(exitStatus(0));
}

interface Case {
  name: string;
  argv: string[];
  api?: FakeApiOptions;
  input?: string;
  want: { code: number; stdout?: string; stderr?: string };
}

const two = pod("two", {
  containers: ["a", "b"],
  spec: { containers: [], initContainers: [{ name: "setup", image: "i" }] },
});
two.spec = {
  ...two.spec,
  containers: [
    { name: "a", image: "i" },
    { name: "b", image: "i" },
  ],
};
const annotated = {
  ...two,
  metadata: { ...two.metadata, name: "annotated", annotations: { "kubectl.kubernetes.io/default-container": "b" } },
};
const finish = (code: number) => async (session: ServerSession) => session.finish(exitStatus(code));
/** Tells which container the request named. */
const tell = async (session: ServerSession, url: URL) => {
  await session.stdout?.write(
    bytes(`${url.searchParams.get("container")} ${url.searchParams.getAll("command").join("|")}`),
  );
  await session.finish(exitStatus(0));
};

const cases: Case[] = [
  {
    name: "passes stdin and stdout",
    argv: ["exec", "-i", "web", "--", "cat"],
    api: { session: echo },
    input: "hello",
    want: { code: 0, stdout: "hello" },
  },
  {
    name: "ends with the command's exit code",
    argv: ["exec", "web", "--", "false"],
    api: { session: finish(3) },
    want: { code: 3, stderr: "command terminated with exit code 3\n" },
  },
  {
    name: "keeps the command's words apart",
    argv: ["exec", "web", "-c", "web", "--", "sh", "-c", "a b"],
    api: { session: tell },
    want: { code: 0, stdout: "web sh|-c|a b" },
  },
  {
    name: "says which container it chose",
    argv: ["exec", "two", "--", "ls"],
    api: { session: tell },
    want: { code: 0, stdout: "a ls", stderr: 'Defaulted container "a" out of: a, b, setup (init)\n' },
  },
  {
    name: "chooses quietly with -q",
    argv: ["exec", "-q", "two", "--", "ls"],
    api: { session: tell },
    want: { code: 0, stdout: "a ls" },
  },
  {
    name: "takes the container of the annotation",
    argv: ["exec", "annotated", "--", "ls"],
    api: { session: tell },
    want: { code: 0, stdout: "b ls" },
  },
  {
    name: "takes pod/NAME",
    argv: ["exec", "pod/web", "--", "ls"],
    api: { session: tell },
    want: { code: 0, stdout: "web ls" },
  },
  {
    name: "says that stdin is no terminal",
    argv: ["exec", "-it", "web", "--", "cat"],
    api: { session: echo },
    input: "x",
    want: { code: 0, stdout: "x", stderr: "Unable to use a TTY - input is not a terminal or the right kind of file\n" },
  },
  {
    name: "an unknown pod",
    argv: ["exec", "nope", "--", "ls"],
    want: { code: 1, stderr: 'Error from server (NotFound): pods "nope" not found\n' },
  },
  {
    name: "a completed pod",
    argv: ["exec", "done", "--", "ls"],
    want: { code: 1, stderr: "error: cannot exec into a container in a completed pod; current phase is Succeeded\n" },
  },
  {
    name: "an upgrade refused in plain text",
    argv: ["exec", "web", "--", "ls"],
    api: {
      upgrade(upgrade) {
        refuseUpgrade(upgrade, { statusCode: 500, contentType: "text/plain", body: 'container not found ("web")\n' });
        return true;
      },
    },
    want: { code: 1, stderr: 'error: unable to upgrade connection: container not found ("web")\n' },
  },
  {
    name: "a command that cannot be run, over v5",
    argv: ["exec", "web", "--", "nope"],
    api: {
      session: (session) =>
        session.finish({
          status: "Failure",
          reason: "InternalError",
          code: 500,
          message: "Internal error occurred: no such file \u001b[31m",
        }),
    },
    want: { code: 1, stderr: "Error from server (InternalError): Internal error occurred: no such file ^[[31m\n" },
  },
  {
    name: "no command",
    argv: ["exec", "web"],
    want: { code: 1, stderr: "error: you must specify at least one command for the container\n" },
  },
  {
    name: "no pod",
    argv: ["exec", "--", "ls"],
    want: { code: 1, stderr: "error: pod, type/name or --filename must be specified\n" },
  },
  {
    name: "takes the pod that a manifest is of, from stdin too",
    argv: ["exec", "-f", "-", "--", "ls"],
    api: { session: tell },
    input: "apiVersion: v1\nkind: Pod\nmetadata: {name: annotated}\n",
    want: { code: 0, stdout: "b ls" },
  },
  {
    name: "a manifest of two objects",
    argv: ["exec", "-f", "-", "--", "ls"],
    input: ["web", "two"].map((name) => `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\n`).join("---\n"),
    want: { code: 1, stderr: "error: cannot exec into multiple objects at a time\n" },
  },
  {
    name: "a list of one, which kubectl does not take apart here either",
    argv: ["exec", "-f", "-", "--", "ls"],
    input: "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: annotated}}\n",
    want: { code: 1, stderr: "error: cannot exec into multiple objects at a time\n" },
  },
  {
    name: "a name that no path may have",
    argv: ["exec", "b%62", "--", "ls"],
    want: { code: 1, stderr: "error: invalid resource name \"b%62\": [may not contain '%']\n" },
  },
  {
    name: "a name that is a way",
    argv: ["exec", "..", "--", "ls"],
    want: { code: 1, stderr: "error: invalid resource name \"..\": [may not be '..']\n" },
  },
  {
    name: "a manifest of another namespace than the one that was named",
    argv: ["exec", "-n", "default", "-f", "-", "--", "ls"],
    input: "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: other}\n",
    want: {
      code: 1,
      stderr:
        'error: the namespace from the provided object "other" does not match the namespace "default". You must pass \'--namespace=other\' to perform this operation.\n',
    },
  },
  {
    name: "a manifest's pod that is not there",
    argv: ["exec", "-f", "-", "--", "ls"],
    input: "apiVersion: v1\nkind: Pod\nmetadata: {name: nope}\n",
    want: { code: 1, stderr: 'Error from server (NotFound): pods "nope" not found\n' },
  },
  {
    name: "a file that is not there",
    argv: ["exec", "-f", "/no/such.yaml", "--", "ls"],
    want: { code: 1, stderr: 'error: the path "/no/such.yaml" does not exist\n' },
  },
  {
    name: "a manifest and a pod",
    argv: ["exec", "-f", "x.yaml", "web", "--", "ls"],
    want: {
      code: 1,
      stderr: "error: resource/name arguments cannot be provided when a path is specified\n",
    },
  },
  {
    name: "the form without --",
    argv: ["exec", "web", "ls"],
    want: {
      code: 1,
      stderr:
        "error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'hawser exec -h' for help and examples\n",
    },
  },
];

describe("hawser exec", () => {
  const done = pod("done", { status: { phase: "Succeeded" } });
  for (const { name, argv, api, input, want } of cases) {
    it(name, async () => {
      await using server = await fakeApi({ pods: [pod("web"), two, annotated, done], ...api });
      const { code, stdout, stderr } = await commandLine(argv, {
        server: server.url,
        ...(input !== undefined && { input }),
      }).result;
      assert.deepEqual({ code, stdout, stderr }, { stdout: "", stderr: "", ...want });
    });
  }

  it("fails with its own code when the session breaks off, though output came", async () => {
    await using server = await fakeApi({
      pods: [pod("web")],
      async session(session) {
        await session.stdout?.write(bytes("half"));
        await session[Symbol.asyncDispose]();
      },
    });
    const { code, stdout, stderr } = await commandLine(["exec", "web", "--", "ls"], { server: server.url }).result;
    assert.equal(code, 255);
    assert.equal(stdout, "half");
    assert.match(stderr, /^error: the session broke off: .*\nThe API server and the kubelet of node n1 answer: /);
  });

  it("puts the terminal into raw mode, tells its size and each change, and puts it back", async () => {
    const seen: unknown[] = [];
    const first = Promise.withResolvers<void>();
    await using server = await fakeApi({
      pods: [pod("web")],
      async session(session, url) {
        assert.equal(url.searchParams.get("tty"), "true");
        assert.equal(url.searchParams.get("stderr"), null);
        for await (const size of session.resize) {
          if (seen.push(size) === 2) break;
          first.resolve();
        }
        for await (const chunk of session.stdin ?? []) {
          await session.stdout?.write(chunk);
          break;
        }
        await session.finish(exitStatus(0));
      },
    });
    const { result, terminal } = commandLine(["exec", "-it", "web", "--", "sh"], {
      server: server.url,
      terminal: true,
    });
    await first.promise;
    assert.deepEqual(terminal.modes, [true]);
    terminal.resize(100, 40);
    terminal.stdin.write("\u0003");
    const { code, stdout } = await result;
    assert.equal(code, 0);
    assert.equal(stdout, "\u0003");
    assert.deepEqual(seen, [
      { width: 80, height: 24 },
      { width: 100, height: 40 },
    ]);
    assert.deepEqual(terminal.modes, [true, false]);
  });

  it("puts the terminal back and ends the session when a signal comes", async () => {
    const stop = new AbortController();
    const gone = Promise.withResolvers<void>();
    await using server = await fakeApi({
      pods: [pod("web")],
      async session(session) {
        session.signal.addEventListener("abort", () => gone.resolve());
        stop.abort(new Interrupted("SIGTERM", 15));
        await gone.promise;
      },
    });
    const { result, terminal } = commandLine(["exec", "-it", "web", "--", "sh"], {
      server: server.url,
      terminal: true,
      signal: stop.signal,
    });
    const { code, stderr } = await result;
    assert.equal(code, 143);
    assert.equal(stderr, "");
    assert.deepEqual(terminal.modes, [true, false]);
    await gone.promise;
  });

  it("puts the terminal into raw mode again when it goes on after a stop, until the session has ended", async () => {
    const begun = Promise.withResolvers<void>();
    await using server = await fakeApi({
      pods: [pod("web")],
      async session(session) {
        begun.resolve();
        await echo(session);
      },
    });
    const { result, terminal } = commandLine(["exec", "-it", "web", "--", "cat"], {
      server: server.url,
      terminal: true,
    });
    await begun.promise;
    terminal.goOn();
    assert.deepEqual(terminal.modes, [true, false, true]);
    terminal.stdin.end("x");
    assert.deepEqual(await result, { code: 0, stdout: "x", stderr: "" });
    terminal.goOn();
    assert.deepEqual(terminal.modes, [true, false, true, false]);
  });

  it("puts the terminal back when the upgrade is refused", async () => {
    await using server = await fakeApi({
      pods: [pod("web")],
      upgrade(upgrade) {
        refuseUpgrade(upgrade, { statusCode: 403, contentType: "text/plain", body: "no" });
        return true;
      },
    });
    const { result, terminal } = commandLine(["exec", "-it", "web", "--", "sh"], {
      server: server.url,
      terminal: true,
    });
    assert.equal((await result).code, 1);
    assert.deepEqual(terminal.modes, [true, false]);
  });

  it("tells that nobody listens, in kubectl's words", async () => {
    const server = await fakeApi();
    await server[Symbol.asyncDispose]();
    const { code, stderr } = await commandLine(["exec", "web", "--", "ls"], { server: server.url }).result;
    assert.equal(code, 1);
    const { host } = new URL(server.url);
    assert.equal(
      stderr,
      `The connection to the server ${host} was refused - did you specify the right host or port?\n`,
    );
  });
});
