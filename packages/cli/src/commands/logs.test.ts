import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { commandLine } from "../testing/command-line.ts";
import { type FakeApiOptions, fakeApi, pod } from "../testing/fake-api.ts";

const log: FakeApiOptions["log"] = (url, response) => {
  const name = url.pathname.split("/").at(-2);
  response.end(`${name}/${url.searchParams.get("container")} one\ntwo\n`);
};

const cases: {
  name: string;
  argv: string;
  want: { code?: number; stdout?: string; stderr?: string; request?: string };
}[] = [
  { name: "the only container", argv: "logs web", want: { stdout: "web/web one\ntwo\n" } },
  {
    name: "options become a query",
    argv: "logs web --tail=5 --since=90s --timestamps -p --limit-bytes=7",
    want: {
      stdout: "web/web one\ntwo\n",
      request: "?previous=true&timestamps=true&limitBytes=7&tailLines=5&sinceSeconds=90&container=web",
    },
  },
  {
    name: "a chosen container is told",
    argv: "logs two",
    want: { stdout: "two/a one\ntwo\n", stderr: 'Defaulted container "a" out of: a, b\n' },
  },
  {
    name: "a time that is none",
    argv: "logs web --since-time=2024-02-30T00:00:00Z",
    want: { code: 1, stderr: 'error: parsing time "2024-02-30T00:00:00Z": day out of range\n' },
  },
  { name: "the container as an argument", argv: "logs two b", want: { stdout: "two/b one\ntwo\n" } },
  {
    name: "all containers, with where they are from",
    argv: "logs two --all-containers --prefix",
    want: { stdout: "[pod/two/a] two/a one\n[pod/two/a] two\n[pod/two/b] two/b one\n[pod/two/b] two\n" },
  },
  {
    name: "an unknown pod",
    argv: "logs x",
    want: { code: 1, stderr: 'error: error from server (NotFound): pods "x" not found in namespace "default"\n' },
  },
  {
    name: "an unknown container",
    argv: "logs web -c x",
    want: { code: 1, stderr: "error: container x is not valid for pod web\n" },
  },
  {
    name: "too many streams",
    argv: "logs two -f --all-containers --max-log-requests=1",
    want: {
      code: 1,
      stderr:
        "error: you are attempting to follow 2 log streams, but maximum allowed concurrency is 1, use --max-log-requests to increase the limit\n",
    },
  },
  {
    name: "since twice",
    argv: "logs web --since=1s --since-time=2024-01-01T00:00:00Z",
    want: { code: 1, stderr: "error: at most one of `sinceTime` or `sinceSeconds` may be specified\n" },
  },
];

describe("hawser logs", () => {
  for (const { name, argv, want } of cases) {
    it(name, async () => {
      await using server = await fakeApi({
        pods: [
          pod("web"),
          pod("two", {
            containers: ["a", "b"],
            spec: {
              containers: [
                { name: "a", image: "i" },
                { name: "b", image: "i" },
              ],
            },
          }),
        ],
        log,
      });
      const { code, stdout, stderr } = await commandLine(argv.split(" "), { server: server.url }).result;
      const { request, ...shown } = want;
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "", ...shown });
      if (request) assert.ok(server.requests.at(-1)?.endsWith(request), server.requests.at(-1));
    });
  }

  it("keeps the lines of streams that are followed side by side whole", async () => {
    const both = pod("two", {
      spec: {
        containers: [
          { name: "a", image: "i" },
          { name: "b", image: "i" },
        ],
      },
    });
    let open = 0;
    const ready = Promise.withResolvers<void>();
    await using server = await fakeApi({
      pods: [both],
      log(url, response) {
        const name = url.searchParams.get("container");
        response.write(`${name}1 `);
        if (++open === 2) ready.resolve();
        ready.promise.then(() => response.end(`${name}2\n`));
      },
    });
    const { stdout } = await commandLine(["logs", "-f", "two", "--all-containers"], { server: server.url }).result;
    assert.deepEqual(stdout.split("\n").sort(), ["", "a1 a2", "b1 b2"]);
  });

  it("ends the server's words with one newline, whether they have one or not", async () => {
    const message = 'container "web" in pod "web" is waiting to start: ContainerCreating\n';
    await using server = await fakeApi({
      pods: [pod("web")],
      log(_url, response) {
        response.writeHead(400, { "Content-Type": "application/json" });
        response.end(JSON.stringify({ kind: "Status", status: "Failure", reason: "BadRequest", code: 400, message }));
      },
    });
    const { code, stderr } = await commandLine(["logs", "web"], { server: server.url }).result;
    assert.deepEqual({ code, stderr }, { code: 1, stderr: `Error from server (BadRequest): ${message}` });
  });

  it("follows a container that has not started yet, and says once why it waits", async () => {
    const message = 'container "web" in pod "web" is waiting to start: ContainerCreating';
    let asked = 0;
    await using server = await fakeApi({
      pods: [pod("web")],
      log(_url, response) {
        if (++asked > 2) return response.end("started\n");
        response.writeHead(400, { "Content-Type": "application/json" });
        response.end(JSON.stringify({ kind: "Status", status: "Failure", reason: "BadRequest", code: 400, message }));
      },
    });
    const { code, stdout, stderr } = await commandLine(["logs", "-f", "web"], { server: server.url }).result;
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "started\n", stderr: `${message}\n` });
  });

  it("passes bytes as they are, also behind a prefix, and adds no newline", async () => {
    await using server = await fakeApi({ pods: [pod("web")], log: (_, response) => response.end("a\n\u00ffb") });
    const { stdout } = await commandLine(["logs", "web", "--prefix"], { server: server.url }).result;
    assert.equal(stdout, "[pod/web/web] a\n[pod/web/web] \u00ffb");
  });

  it("fails when the stream is cut short", async () => {
    await using server = await fakeApi({
      pods: [pod("web")],
      log(_, response) {
        response.write("half", () => response.destroy());
      },
    });
    const { code, stdout, stderr } = await commandLine(["logs", "web"], { server: server.url }).result;
    assert.equal(code, 1);
    assert.equal(stdout, "half");
    assert.match(stderr, /^Unable to connect to the server: /);
  });

  it("ends with 255 and where it broke off when a log that is followed does", async () => {
    for (const text of ["half", ""]) {
      await using server = await fakeApi({
        pods: [pod("web")],
        log(_, response) {
          response.writeHead(200, { "Content-Type": "text/plain" });
          response.write(text, () => response.destroy());
          if (!text) response.flushHeaders();
        },
      });
      const { code, stdout, stderr } = await commandLine(["logs", "-f", "web"], { server: server.url }).result;
      assert.deepEqual([code, stdout], [255, text]);
      assert.match(stderr, /^error: the log broke off: .+\nThe API server and the kubelet of node n1 answer: .*\n$/);
    }
  });

  it("a connection that is lost before the answer is no log that broke off", async () => {
    await using server = await fakeApi({ pods: [pod("web")], log: (_, response) => response.destroy() });
    const { code, stderr } = await commandLine(["logs", "-f", "web"], { server: server.url }).result;
    assert.equal(code, 1);
    assert.match(stderr, /^Unable to connect to the server: /);
  });
});
