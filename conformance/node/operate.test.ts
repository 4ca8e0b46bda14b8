// The runtime as its operators have it: a configuration file, SIGHUP, a service manager, Prometheus.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile, readlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { connectCRI, create, ExecRequestSchema } from "@hawser/cri";
import { removeEverything } from "@hawser/runtime";
import { background, checkout, eventually, must, onTerminal, run, startRegistry } from "@hawser/testing";
import { DgramSocket } from "node-unix-socket";
import { readFlags } from "../../packages/runtime/src/flags.ts";
import { pushArchive } from "../../scripts/push-image.ts";
import { makeArchive } from "../crun/support/image.ts";
import { sh, startContainer, testConfig } from "../crun/support/runtime.ts";
import { fromSources, hawser, startRuntimeProcess } from "./runtime-process.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

test("SIGHUP: what can change does, what needs a restart is named, a bad file changes nothing", { skip }, async (t) => {
  await using registry = await startRegistry();
  await pushArchive({ archive: await whole(makeArchive({ name: "x/y:1" })), reference: `${registry.host}/x/y:1` });
  // The first mirror is where nobody listens; the registry itself, by its name, is nowhere.
  const images = (mirror: string) => ({ mirrors: { "registry.invalid": [`http://${mirror}`] } });
  await using runtime = await startRuntimeProcess({ images: images("127.0.0.1:1") });
  const pull = () => run(hawser("pull", "registry.invalid/x/y:1", "-r", runtime.endpoint), { env: fromSources });

  await t.test("mirrors", async () => {
    const before = await pull();
    assert.equal(before.code, 1);
    assert.match(before.stderr, /^error: rpc error: code = Unknown desc = failed to pull and unpack image/);
    await runtime.configure({ images: images(registry.host) });
    const log = await runtime.reload(/configuration reloaded/);
    assert.match(log, /configuration reloaded changed=\["images\.mirrors"\]/);
    const after = await pull();
    assert.equal(after.stderr, "");
    assert.match(after.stdout, /^Image is up to date for sha256:/);
  });

  await t.test("verbosity", async () => {
    await runtime.cri.runtime.version({});
    assert.doesNotMatch(runtime.process.output(), /\] call method="Version"/);
    await runtime.configure({ images: images(registry.host), verbosity: 5 });
    await runtime.reload(/changed=\["verbosity"\]/);
    const from = runtime.process.output().length;
    await runtime.cri.runtime.version({});
    await runtime.process.saw('] call method="Version"', { from });
  });

  await t.test("what needs a restart", async () => {
    await runtime.configure({ images: images(registry.host), podCIDR: "10.99.0.0/24", streaming: { port: 1 } });
    const log = await runtime.reload(/need a restart/);
    assert.match(log, /^W.*these settings need a restart.* needRestart=\["podCIDR","streaming\.port"\]$/m);
    const { podSandboxId } = await startContainer(runtime.cri);
    const { status } = await runtime.cri.runtime.podSandboxStatus({ podSandboxId });
    assert.doesNotMatch(status?.network?.ip ?? "", /^10\.99\./, "the old addresses are in force");
  });

  await t.test("a bad file", async () => {
    await runtime.configure("images: { mirror: {} }\n");
    const unknown = await runtime.reload(/not reloaded/);
    assert.match(
      unknown,
      /^E.*old one is in force error=".*runtime\.yaml: unknown setting \\"images\.mirror\\"; did you mean \\"images\.mirrors\\"\?"/m,
    );
    await runtime.configure("podCIDR: [\n");
    await runtime.reload(/not reloaded/);
    assert.equal((await pull()).code, 0, "the mirrors are as they were");
  });
});

test("the service manager is told when it is ready and when it stops; a reload does not end it", { skip }, async () => {
  const manager = new DgramSocket();
  const states: string[] = [];
  manager.on("data", (bytes: Buffer) => states.push(bytes.toString().trim()));
  const folder = (await must(["mktemp", "-d", "--tmpdir", "hawser-notify-XXXXXX"])).trim();
  try {
    manager.bind(path.join(folder, "notify"));
    {
      await using runtime = await startRuntimeProcess({}, { NOTIFY_SOCKET: path.join(folder, "notify") });
      await eventually("READY", () => states.includes("READY=1"));
      await runtime.reload(/nothing to take over/);
      await runtime.cri.runtime.version({});
      assert.deepEqual(states, ["READY=1"]);
    }
    await eventually("STOPPING", () => states.includes("STOPPING=1"));
  } finally {
    manager.close();
    await must(["rm", "-r", folder]);
  }
});

test("a second runtime with the same pods' addresses says what to set, and leaves nothing", { skip }, async () => {
  const { podCIDR } = testConfig();
  const folder = (await must(["mktemp", "-d", "--tmpdir", "hawser-second-XXXXXX"])).trim();
  try {
    await using _first = await startRuntimeProcess({ podCIDR });
    const [root, socket] = [path.join(folder, "r"), path.join(folder, "s")];
    const second = hawser("runtime", "--root", root, "--socket", socket, "--pod-cidr", podCIDR);
    const { code, stderr } = await run(second, { env: fromSources });
    assert.notEqual(code, 0);
    assert.match(stderr, /the runtime in \S+ \(process \d+\) has 10\.\S+\/24; set podCIDR \(--pod-cidr\)/);
    const state = createHash("sha256").update(root).digest("hex").slice(0, 8);
    assert.equal((await readdir("/run/hawser")).includes(state), false);
    await removeEverything(root);
  } finally {
    await must(["rm", "-r", folder]);
  }
});

test("a pipe for a configuration is read at the start, and a SIGHUP refuses it", { skip }, async () => {
  const folder = (await must(["mktemp", "-d", "--tmpdir", "hawser-pipe-XXXXXX"])).trim();
  const [root, socket] = [path.join(folder, "r"), path.join(folder, "s")];
  try {
    const config = JSON.stringify({ ...testConfig(), verbosity: 5 });
    const command = hawser("runtime", "--root", root, "--socket", socket);
    const script = 'exec "$@" --config <(printf %s "$CONFIG")';
    const runtime = background(["bash", "-c", script, "bash", ...command], { env: { ...fromSources, CONFIG: config } });
    try {
      await runtime.saw("hawser-runtime ready", { timeoutMs: 30_000 });
      runtime.child.kill("SIGHUP");
      await runtime.saw(
        /configuration not reloaded.* error="--config \/dev\/fd\/\d+ is a pipe: it was read at the start/,
      );
      const descriptor = /\/dev\/fd\/\d+/.exec(runtime.output())?.[0] ?? "";
      await assert.rejects(readlink(descriptor.replace("/dev", `/proc/${runtime.child.pid}`)), { code: "ENOENT" });
      using cri = await connectCRI({ endpoint: `unix://${socket}` });
      await cri.runtime.version({});
      await runtime.saw('] call method="Version"'); // by its verbosity
    } finally {
      runtime.child.kill("SIGTERM");
      await runtime.exit;
      await removeEverything(root);
    }
  } finally {
    await must(["rm", "-r", folder]);
  }
});

test("without a configuration file a SIGHUP changes nothing; when the terminal has gone, the runtime ends", {
  skip,
}, async () => {
  const folder = (await must(["mktemp", "-d", "--tmpdir", "hawser-terminal-XXXXXX"])).trim();
  const [root, socket] = [path.join(folder, "r"), path.join(folder, "s")];
  let stray = 0;
  try {
    const own = ["--pod-cidr", testConfig().podCIDR];
    await using terminal = onTerminal(hawser("runtime", "--root", root, "--socket", socket, "-v", "2", ...own), {
      env: fromSources,
    });
    await terminal.saw("hawser-runtime ready", { timeoutMs: 30_000 });
    const [, pid = ""] = /^I\d{4} \S+ +(\d+) runtime\] hawser-runtime ready/m.exec(terminal.output()) ?? [];
    stray = Number(pid);
    process.kill(stray, "SIGHUP");
    await terminal.saw("no --config, so there is nothing to read again");
    terminal.child.kill("SIGKILL"); // the terminal's other end: the kernel sends SIGHUP
    await eventually("the runtime has ended", async () => {
      const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone");
      return state === "gone" || / Z /.test(state);
    });
    stray = 0;
  } finally {
    if (stray > 0) process.kill(stray, "SIGKILL");
    await removeEverything(root);
    await must(["rm", "-r", folder]);
  }
});

test("Prometheus finds operations, errors, times, sessions, tokens and the process itself", { skip }, async () => {
  await using runtime = await startRuntimeProcess({ metrics: { address: "127.0.0.1:0" } });
  const [, url = ""] = /ready .*metrics="([^"]+)"/.exec(runtime.process.output()) ?? [];
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
  const { containerId } = await startContainer(runtime.cri);
  await sh(runtime.cri, containerId, "true");
  await assert.rejects(runtime.cri.runtime.containerStatus({ containerId: "none" }));
  await runtime.cri.runtime.exec(create(ExecRequestSchema, { containerId, cmd: ["true"], stdout: true }));

  const response = await fetch(url);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  const lines = text.split("\n");
  for (const line of [
    'hawser_runtime_operations_total{operation="ExecSync"} 1',
    'hawser_runtime_operations_total{operation="ContainerStatus"} 1',
    'hawser_runtime_operations_errors_total{operation="ContainerStatus"} 1',
    'hawser_runtime_operations_duration_seconds_count{operation="RunPodSandbox"} 1',
    'hawser_runtime_operations_duration_seconds_bucket{operation="RunPodSandbox",le="+Inf"} 1',
    'grpc_server_handled_total{grpc_code="NotFound",grpc_method="ContainerStatus",grpc_service="runtime.v1.RuntimeService",grpc_type="unary"} 1',
    'hawser_runtime_sandboxes{state="ready"} 1',
    'hawser_runtime_containers{state="running"} 1',
    "hawser_runtime_images 1",
    "hawser_runtime_streaming_tokens 1",
    'hawser_runtime_streaming_sessions{kind="exec"} 0',
    "hawser_runtime_config_last_reload_successful 1",
  ])
    assert.ok(lines.includes(line), `${line}\n${text}`);
  for (const name of ["process_resident_memory_bytes", "process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds"])
    assert.match(text, new RegExp(`^${name} [0-9]`, "m"));
  // Each sample has its family's TYPE before it, once.
  const types = lines.filter((line) => line.startsWith("# TYPE ")).map((line) => line.split(" ")[2]);
  assert.equal(new Set(types).size, types.length);

  await runtime.configure("nonsense: 1\n");
  await runtime.reload(/not reloaded/);
  assert.match(await (await fetch(url)).text(), /^hawser_runtime_config_last_reload_successful 0$/m);
});

test("a configuration with a mistake, or metrics for everybody: one line, exit code 2", async () => {
  const folder = (await must(["mktemp", "-d", "--tmpdir", "hawser-config-XXXXXX"])).trim();
  try {
    for (const [text, why] of [
      ["podcidr: 10.0.0.0/16", /unknown setting "podcidr"; did you mean "podCIDR"\?/],
      ["metrics: { address: '0.0.0.0:9464' }", /setting "metrics\.address" has to be a loopback address/],
    ] as const) {
      const file = path.join(folder, "runtime.yaml");
      await writeFile(file, text);
      const command = hawser(
        "runtime",
        "--root",
        path.join(folder, "r"),
        "--socket",
        path.join(folder, "s"),
        "--config",
        file,
      );
      const { code, stderr } = await run(command, { env: fromSources });
      assert.equal(code, 2);
      assert.match(stderr, why);
    }
  } finally {
    await must(["rm", "-r", folder]);
  }
});

const unit = path.join(checkout, "packaging/hawser-runtime.service");

test("the unit: its command line is one, and containers outlive it", async () => {
  const text = await readFile(unit, "utf8");
  const [, command = ""] = /^ExecStart=\/usr\/bin\/env hawser runtime (.*)$/m.exec(text) ?? [];
  const argv = command.replace("/etc/hawser/runtime.yaml", path.join(checkout, "packaging/hawser-runtime.yaml"));
  const line = readFlags(argv.split(" "));
  assert.ok("options" in line);
  assert.deepEqual(
    [line.options.root, line.options.socketPath],
    ["/var/lib/hawser-runtime", "/run/hawser/runtime.sock"],
  );
  for (const setting of ["Type=notify", "KillMode=process", "Delegate=yes", "ExecReload=/bin/kill -HUP $MAINPID"])
    assert.ok(text.split("\n").includes(setting), setting);
});

const analyze = await run(["sh", "-c", "command -v systemd-analyze"]);
test("the unit: systemd-analyze verify has nothing to say", {
  skip: analyze.code === 0 ? false : "systemd-analyze is not on this machine",
}, async () => {
  const { code, stdout, stderr } = await run(["systemd-analyze", "verify", unit]);
  // What it says of other units of the machine is not ours.
  const ours = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("hawser"));
  assert.deepEqual([code, ours], [0, []]);
});

async function* pieces(archive: Buffer): AsyncGenerator<Uint8Array> {
  yield archive;
}

async function whole(archive: Promise<Buffer>): Promise<AsyncGenerator<Uint8Array>> {
  return pieces(await archive);
}
