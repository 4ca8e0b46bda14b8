import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Writable } from "node:stream";
import { describe, it } from "node:test";
import { Code, ContainerState, CRIError, PodSandboxState, serveCRI } from "@hawser/cri";
import { parse } from "yaml";
import { clusterPaths } from "../cluster/paths.ts";
import { connectTo } from "./connect.ts";
import { findEndpoint } from "./endpoint.ts";
import { runNodeCommand } from "./run.ts";
import { cpuPercent } from "./stats.ts";

const id = (digit: string) => digit.repeat(64);
const second = 1_000_000_000n;
const born = 1_700_000_000n * second;

function pod(digit: string, name: string, state: PodSandboxState = PodSandboxState.SANDBOX_READY) {
  return {
    id: id(digit),
    metadata: { name, namespace: "default", uid: `uid-${name}`, attempt: 0 },
    state,
    createdAt: born,
  };
}

function container(given: {
  id: string;
  pod: string;
  name: string;
  attempt?: number;
  running?: boolean;
  label?: string;
}) {
  return {
    id: given.id,
    podSandboxId: id(given.pod),
    metadata: { name: given.name, attempt: given.attempt ?? 0 },
    image: { image: `sha256:${id("f")}` },
    imageRef: `sha256:${id("f")}`,
    state: given.running === false ? ContainerState.CONTAINER_EXITED : ContainerState.CONTAINER_RUNNING,
    createdAt: born + BigInt(given.attempt ?? 0) * second,
    labels: { app: given.label ?? "a" },
  };
}

const pods = [pod("1", "web"), pod("2", "db", PodSandboxState.SANDBOX_NOTREADY), pod("3", "web2")];
const containers = [
  container({ id: `abc${id("0").slice(3)}`, pod: "1", name: "web", running: false }),
  container({ id: `abd${id("0").slice(3)}`, pod: "1", name: "web", attempt: 1 }),
  container({ id: `b${id("1").slice(1)}`, pod: "3", name: "side", label: "b" }),
  container({ id: `c${id("1").slice(1)}`, pod: "1", name: "side\u001b[31m" }),
  container({ id: `d${id("1").slice(1)}`, pod: "1", name: "side" }),
];
const [, web] = containers;
const image = { id: `sha256:${id("f")}`, repoTags: ["docker.io/library/nginx:1"], repoDigests: [], size: 123_456_789n };

/** A runtime on a socket that has the above, and the node's verbs against it. */
async function node() {
  const folder = await mkdtemp(join(tmpdir(), "hawser-node-"));
  const socketPath = join(folder, "r.sock");
  const state = { looks: 0, runs: true, pulled: [] as unknown[] };
  const server = await serveCRI({
    socketPath,
    runtime: {
      version: async () => ({ version: "0.1.0", runtimeName: "fake", runtimeVersion: "1" }),
      async listContainers({ filter }) {
        return {
          containers: containers.filter(
            (each) =>
              (!filter?.state || filter.state.state === each.state) &&
              each.podSandboxId.startsWith(filter?.podSandboxId ?? "") &&
              Object.entries(filter?.labelSelector ?? {}).every(
                ([name, value]) => name === "app" && each.labels.app === value,
              ),
          ),
        };
      },
      async listPodSandbox({ filter }) {
        return { items: pods.filter(({ state }) => !filter?.state || filter.state.state === state) };
      },
      async containerStatus({ containerId }) {
        const found = containers.find((each) => each.id === containerId);
        if (!found) throw new CRIError(Code.NotFound, `container "${containerId}" not found`);
        const { podSandboxId: _, ...status } = found;
        return {
          status: {
            ...status,
            state: state.runs ? found.state : ContainerState.CONTAINER_EXITED,
            startedAt: born + 5n,
            logPath: join(folder, "0.log"),
          },
          info: { info: JSON.stringify({ pid: 7 }), more: "text" },
        };
      },
      async podSandboxStatus() {
        return { status: pods[0] ?? {} };
      },
      async listContainerStats() {
        state.looks++;
        const cpu = {
          timestamp: BigInt(state.looks) * second,
          usageCoreNanoSeconds: { value: BigInt(state.looks) * (second / 4n) },
        };
        return {
          stats: [
            {
              attributes: web && { id: web.id, metadata: web.metadata },
              cpu,
              memory: { workingSetBytes: { value: 12_345_678n } },
            },
          ],
        };
      },
      status: async () => ({
        status: { conditions: [{ type: "RuntimeReady", status: true }] },
        info: { config: '{"a":1}' },
      }),
    },
    images: {
      listImages: async () => ({ images: [image] }),
      imageStatus: async ({ image: asked }) => (["nginx", image.id].includes(asked?.image ?? "") ? { image } : {}),
      async pullImage({ image: asked, auth }) {
        state.pulled.push([asked?.image, auth?.username, auth?.password]);
        return { imageRef: image.id };
      },
    },
  });
  const run = async (argv: string[], signal = new AbortController().signal, onOutput = (_all: string) => {}) => {
    const text = { stdout: "", stderr: "" };
    const into = (name: "stdout" | "stderr") =>
      new Writable({
        write(chunk, _encoding, done) {
          text[name] += chunk;
          onOutput(text[name]);
          done();
        },
      });
    const io = {
      stdout: into("stdout"),
      stderr: into("stderr"),
      env: { CONTAINER_RUNTIME_ENDPOINT: `unix://${socketPath}` },
      signal,
    };
    return { code: await runNodeCommand(io, argv), ...text };
  };
  return {
    folder,
    socketPath,
    state,
    run,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describe("hawser node", () => {
  it("ps: what runs, all, by state, label, pod and name; newest first; ids alone", async () => {
    await using it = await node();
    const { stdout } = await it.run(["ps"]);
    const [head = "", first = ""] = stdout.split("\n");
    assert.match(head, /^CONTAINER +IMAGE +CREATED +STATE +NAME +ATTEMPT +POD ID +POD +NAMESPACE$/);
    assert.match(
      first,
      /^abd0000000000 +docker\.io\/library\/nginx:1 +\d+d ago +Running +web +1 +1111111111111 +web +default$/,
    );
    assert.ok(stdout.includes("side\\x1b[31m"), "a name cannot steer the terminal");
    const ids = async (...argv: string[]) =>
      (await it.run(["ps", "-q", ...argv])).stdout
        .split("\n")
        .slice(0, -1)
        .map((each) => each.slice(0, 3));
    assert.deepEqual(await ids(), ["abd", "b11", "c11", "d11"]);
    assert.deepEqual(await ids("-a"), ["abd", "abc", "b11", "c11", "d11"]);
    assert.deepEqual(await ids("--state", "Exited"), ["abc"]);
    assert.deepEqual(await ids("--label", "app=b"), ["b11"]);
    assert.deepEqual(await ids("-p", "3"), ["b11"]);
    assert.deepEqual(await ids("--name", "^web$"), ["abd"]);
    assert.deepEqual(await ids("--latest"), ["abd"]);
    assert.deepEqual(await ids("-n", "2"), ["abd", "abc"]);
  });

  it("ps -o json and yaml have the CRI's own fields", async () => {
    await using it = await node();
    const json = JSON.parse((await it.run(["ps", "-a", "-o", "json"])).stdout);
    assert.deepEqual(json.containers[0].metadata, { name: "web", attempt: 1 });
    assert.deepEqual(
      [json.containers[0].state, json.containers[0].createdAt],
      ["CONTAINER_RUNNING", String(born + second)],
    );
    assert.deepEqual(json.containers[0].annotations, {}, "empty fields are there too");
    assert.deepEqual(parse((await it.run(["ps", "-a", "-o", "yaml"])).stdout), json);
  });

  it("pods, the same as ps --pods, are of every state", async () => {
    await using it = await node();
    const { stdout } = await it.run(["pods"]);
    assert.match(
      stdout,
      /^POD ID +CREATED +STATE +NAME +NAMESPACE +ATTEMPT +RUNTIME\n1{13} .* Ready +web .*\n2{13} .* NotReady +db /,
    );
    assert.equal((await it.run(["ps", "--pods", "-a"])).stdout, stdout);
    assert.equal((await it.run(["pods", "-q", "--state", "notready"])).stdout, `${id("2")}\n`);
    assert.equal(JSON.parse((await it.run(["pods", "-o", "json"])).stdout).items.length, 3);
  });

  it("images and pull", async () => {
    await using it = await node();
    assert.match(
      (await it.run(["images"])).stdout,
      /^IMAGE +TAG +IMAGE ID +SIZE\ndocker\.io\/library\/nginx +1 +f{13} +123MB\n$/,
    );
    assert.equal((await it.run(["images", "-q"])).stdout, `${image.id}\n`);
    assert.equal((await it.run(["pull", "nginx", "--creds", "u:p:q"])).stdout, `Image is up to date for ${image.id}\n`);
    assert.deepEqual(it.state.pulled, [["nginx", "u", "p:q"]]);
  });

  it("inspect: by id, beginning of an id and name; of a container's restarts the newest", async () => {
    await using it = await node();
    const seen = async (...argv: string[]) => {
      const { kind, status } = JSON.parse((await it.run(["inspect", ...argv])).stdout);
      return [kind, status.id.slice(0, 3)];
    };
    assert.deepEqual(await seen("abc"), ["container", "abc"]);
    assert.deepEqual(await seen("web"), ["container", "abd"]);
    assert.deepEqual(await seen("--type", "sandbox", "web"), ["sandbox", "111"]);
    assert.deepEqual(await seen("default/web"), ["sandbox", "111"]);
    assert.deepEqual(await seen("nginx"), ["image", "sha"]);
    assert.deepEqual(await seen("fff"), ["image", "sha"]);
    const whole = JSON.parse((await it.run(["inspect", web?.id ?? ""])).stdout);
    assert.deepEqual(
      [whole.info, whole.status.startedAt],
      [{ pid: 7, more: "text" }, "2023-11-14T22:13:20.000000005Z"],
    );
    assert.equal(whole.status.finishedAt, "0001-01-01T00:00:00Z");
    const two = (await it.run(["inspect", "-o", "yaml", "abc", "abd"])).stdout;
    assert.equal(two.split("---\n").length, 2);
  });

  it("what could be several things is refused with a list; what is nothing by its name", async () => {
    await using it = await node();
    const ambiguous = await it.run(["inspect", "ab"]);
    assert.equal(ambiguous.code, 1);
    assert.match(
      ambiguous.stderr,
      /^error: "ab" could be 2 things; .*:\n {2}container abc0+ {2}web of default\/web\n {2}container abd/,
    );
    assert.match(
      (await it.run(["inspect", "side"])).stderr,
      /side of default\/web2\n {2}container d1+ {2}side of default\/web\n/,
    );
    assert.match((await it.run(["inspect", "none"])).stderr, /^error: no container, sandbox or image "none" here\n$/);
  });

  it("stats: CPU over the time between two looks", async () => {
    await using it = await node();
    assert.match(
      (await it.run(["stats", "web"])).stdout,
      /^CONTAINER .*\nabd0{10} +web +web +25\.00 +12\.3MB +- +-\n$/,
    );
    assert.equal(JSON.parse((await it.run(["stats", "-o", "json"])).stdout).stats.length, 1);
    assert.equal(cpuPercent(undefined, { cpu: undefined } as never), "-");
    const stop = new AbortController();
    const watching = it.run(["stats", "--watch"], stop.signal, (all) => {
      if (all.split("CONTAINER").length === 3) stop.abort(new Error("enough")); // two tables
    });
    await assert.rejects(watching, /enough/);
  });

  it("logs: whole, tail, since, times; both streams; by name and by --container-id", async () => {
    await using it = await node();
    const line = (n: number, text: string, stream = "stdout") =>
      `2026-01-02T03:04:0${n}.000000001Z ${stream} ${text}\n`;
    await writeFile(
      join(it.folder, "0.log"),
      line(1, "F one") + line(2, "F oops", "stderr") + line(3, "P th") + line(4, "F ree"),
    );
    assert.deepEqual(await it.run(["logs", "web"]), { code: 0, stdout: "one\nthree\n", stderr: "oops\n" });
    assert.equal((await it.run(["logs", "--container-id", "abd", "--tail", "2"])).stdout, "three\n");
    assert.equal(
      (await it.run(["logs", "-t", "abd"])).stdout,
      "2026-01-02T03:04:01.000000001Z one\n2026-01-02T03:04:03.000000001Z three\n",
    );
    assert.equal((await it.run(["logs", "abd", "--since", "2026-01-02T03:04:03Z"])).stdout, "three\n");
    assert.equal((await it.run(["logs", "abd", "--since", "5m"])).stdout, "");
    assert.match(
      (await it.run(["logs", "abd", "--since", "yesterday"])).stderr,
      /^error: --since "yesterday": such as/,
    );
  });

  it("logs -f goes on until the container ends", async () => {
    await using it = await node();
    const line = (text: string) => `2026-01-02T03:04:05.000000001Z stdout F ${text}\n`;
    await writeFile(join(it.folder, "0.log"), line("one"));
    const seen = Promise.withResolvers<void>();
    const following = it.run(["logs", "-f", "web"], undefined, () => seen.resolve());
    await seen.promise;
    await appendFile(join(it.folder, "0.log"), line("two"));
    it.state.runs = false;
    assert.deepEqual(await following, { code: 0, stdout: "one\ntwo\n", stderr: "" });
  });

  it("info, and each verb's help", async () => {
    await using it = await node();
    const info = JSON.parse((await it.run(["info"])).stdout);
    assert.deepEqual(
      [info.runtimeName, info.endpoint, info.info],
      ["fake", `unix://${it.socketPath}`, { config: { a: 1 } }],
    );
    for (const verb of ["ps", "pods", "images", "pull", "inspect", "stats", "logs", "info"]) {
      const { code, stdout } = await it.run([verb, "--help"]);
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^hawser node ${verb}[ :]`));
      assert.equal((await it.run(["help", verb])).stdout, stdout);
    }
    assert.equal((await it.run(["--help"])).code, 0);
  });

  const misuses: [argv: string[], stderr: RegExp][] = [
    [["frob"], /^error: unknown verb "frob": one of ps, pods/],
    [["ps", "--frob"], /^error: Unknown option '--frob'.*\nSee 'hawser node ps --help'\.\n$/s],
    [["ps", "web"], /^error: no names are taken here/],
    [["ps", "--state", "up"], /^error: --state "up": one of created, running/],
    [["ps", "--label", "x"], /KEY=VALUE/],
    [["ps", "--name", "("], /no regular expression/],
    [["ps", "-o", "wide"], /--output "wide": one of table, json, yaml/],
    [["ps", "-l", "-n", "2"], /not both/],
    [["inspect"], /at least one name is missing/],
    [["inspect", "-o", "table", "x"], /one of json, yaml/],
    [["logs"], /^error: one container/],
    [["logs", "a", "--tail", "x"], /--tail "x": a whole number from 0 on/],
    [["pull", "a", "--creds", "x"], /USER:PASSWORD/],
    [["stats", "--seconds", "0"], /from 1 on/],
    [["ps", "--runtime-endpoint", "tcp://x"], /is not unix:\/\/\/PATH/],
    [[], /^hawser node: /],
  ];
  for (const [argv, stderr] of misuses) {
    it(`exit code 2: ${argv.join(" ")}`, async () => {
      await using fixture = await node();
      const result = await fixture.run(argv);
      assert.deepEqual([result.code, result.stdout], [2, ""]);
      assert.match(result.stderr, stderr);
    });
  }
});

describe("which runtime is meant", () => {
  const nowhere = { dataDir: "/no/such/folder", socket: "/no/such/socket" };
  it("flags before the environment, before a cluster, before the service; none is an error that says how", async () => {
    await using fixture = await node();
    const { folder, socketPath } = fixture;
    await writeFile(clusterPaths(folder).settings, JSON.stringify({ verbosity: 0 }));
    const other = { CONTAINER_RUNTIME_ENDPOINT: "/run/other.sock" };
    assert.equal(
      await findEndpoint({ "runtime-endpoint": relative(process.cwd(), socketPath) }, other, nowhere),
      `unix://${socketPath}`,
    );
    assert.equal(await findEndpoint({ "data-dir": folder }, other, nowhere), `unix://${folder}/run/runtime.sock`);
    assert.equal(await findEndpoint({}, other, nowhere), "unix:///run/other.sock");
    const both = { ...other, HAWSER_RUNTIME_SOCKET: "/run/ours.sock" };
    assert.equal(await findEndpoint({}, both, nowhere), "unix:///run/ours.sock");
    assert.equal(await findEndpoint({}, {}, { ...nowhere, dataDir: folder }), `unix://${folder}/run/runtime.sock`);
    assert.equal(await findEndpoint({}, {}, { ...nowhere, socket: socketPath }), `unix://${socketPath}`);
    await writeFile(clusterPaths(folder).settings, JSON.stringify({ runtimeEndpoint: "unix:///run/containerd.sock" }));
    assert.equal(await findEndpoint({ "data-dir": folder }, {}, nowhere), "unix:///run/containerd.sock");
    await assert.rejects(findEndpoint({}, {}, nowhere), /which runtime\? .*--data-dir DIR, --runtime-endpoint/);
    await assert.rejects(findEndpoint({ "data-dir": join(folder, "no") }, {}, nowhere), /there is no cluster in/);
    await assert.rejects(findEndpoint({ "data-dir": "x", "runtime-endpoint": "y" }, {}, nowhere), /not both/);
  });

  it("a socket that is not there is told at once", () =>
    assert.rejects(
      connectTo("unix:///no/such.sock"),
      /^Error: no runtime runs on unix:\/\/\/no\/such\.sock: there is no such socket$/,
    ));
});
