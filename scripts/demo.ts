// `make demo`: the post in one go. Starts a cluster, runs `exec-test-nginx` in it, execs into it, shows the path that
// the exec takes through processes and connections, and takes everything down again. Interactive on a terminal.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";
import {
  ancestors,
  background,
  checkout,
  eventually,
  freePort,
  must,
  processes,
  type Registry,
  run,
  tcpSockets,
  unixSockets,
} from "@hawser/testing";
import { clusterPaths, type Hop, listenerOn, status } from "hawser";
import { registryWithImages } from "./registry-with-images.ts";

const pod = "exec-test-nginx";
const program = join(checkout, "node_modules/.bin/hawser");
/** How long Docker Hub may take to say anything, milliseconds. */
const hubTimeout = 4_000;

if (process.getuid?.() !== 0) {
  console.error("make demo needs root: it starts containers. Try: sudo make demo");
  process.exit(1);
}
const folder = await mkdtemp(join(tmpdir(), "hawser-demo-"));
const dataDir = join(folder, "cluster");
const kubeconfig = join(dataDir, "kubeconfig");
let registry: Registry | undefined;
let stopping = false;
// A closed terminal takes no more words; everything is to go all the same.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // The program in the foreground has had it too and ends; then the demo tidies up.
    stopping = true;
  });
}
try {
  await demo();
} catch (err) {
  console.error(`\ndemo: ${err instanceof Error ? err.message : err}`);
  process.exitCode = 1;
} finally {
  say("Everything goes again.");
  await hawser("down", "--data-dir", dataDir).catch((err) => {
    console.error(err);
    process.exitCode = 1;
  });
  await registry?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}

async function demo(): Promise<void> {
  const [apiPort, kubeletPort] = [await usualPort(6443), await usualPort(10250)];
  const flags = ["--data-dir", dataDir, "--api-port", String(apiPort), "--kubelet-port", String(kubeletPort)];
  if (!(await hubAnswers())) {
    say(
      "Docker Hub cannot be reached from here: nginx is made of Debian's packages and comes from a registry on loopback.",
    );
    await must([join(checkout, "scripts/install.sh"), "registry"]);
    registry = await registryWithImages((command) => command, ["nginx"]);
    const config = join(folder, "runtime.yaml");
    await writeFile(config, JSON.stringify({ images: { mirrors: { "docker.io": [`http://${registry.host}`] } } }));
    flags.push("--runtime-config", config);
  }
  say("A cluster: API server, kubelet and runtime, each a process of its own.");
  await hawser("up", ...flags);
  process.env.KUBECONFIG = kubeconfig;
  await hawser("get", "nodes", "-o", "wide");

  say("The post's pod.");
  await hawser("run", pod, "--image=nginx");
  await hawser("wait", "--for=condition=Ready", `pod/${pod}`, "--timeout=120s");
  await hawser("get", "pods", "-o", "wide");

  say("An exec into it, and what it looks like from outside.");
  await showPath(apiPort, kubeletPort);

  if (stopping) return;
  if (process.stdin.isTTY && process.stdout.isTTY) {
    say(`Now you: a shell in the container. \`exit\` goes on. (Also: kubectl --kubeconfig ${kubeconfig} …)`);
    await hawserOrCode("exec", "-it", pod, "--", "sh");
  } else {
    say("No terminal here, so the exec is a scripted one.");
    await hawser("exec", pod, "--", "sh", "-c", "echo hello from $(cat /etc/hostname); nginx -v");
    const code = await hawserOrCode("exec", pod, "--", "sh", "-c", "exit 42");
    console.log(`exit code ${code}`);
    if (code !== 42) throw new Error(`the exit code should have been 42`);
  }
}

/** Keeps an exec open and prints each hop's process and connection, as the post found them with netstat, ss and ps. */
async function showPath(apiPort: number, kubeletPort: number): Promise<void> {
  console.log(`$ hawser exec ${pod} -- sleep 5000 &`);
  const others = new Set((await processes()).map(({ pid }) => pid));
  await using client = background([process.execPath, program, "exec", pod, "--", "sleep", "5000"]);
  const sleeper = await eventually("sleep 5000 in the container", async () =>
    (await processes()).find(({ args, pid }) => args === "sleep 5000" && !others.has(pid)),
  );
  const all = await processes();
  const sockets = await tcpSockets((command) => command);
  const pids = await hopPids();
  const connection = (pid: number | undefined, port: number) =>
    sockets.find((s) => s.state === "ESTAB" && s.peer.endsWith(`:${port}`) && s.owner.includes(`pid=${pid},`));
  const toAPI = connection(client.pid, apiPort);
  const toKubelet = connection(pids.apiserver, kubeletPort);
  const unix = (await unixSockets((command) => command)).find(
    ({ path, owner }) => path === clusterPaths(dataDir).runtimeSocket && owner.includes(`pid=${pids.runtime},`),
  );
  const stream = sockets.find((s) => s.state === "ESTAB" && s.owner.includes(`pid=${pids.runtime},`));
  const [parent] = ancestors(all, sleeper);
  const rows = [
    [
      "client",
      `process ${client.pid}`,
      `${toAPI?.local} -> ${toAPI?.peer}`,
      "TLS: the exec, as a WebSocket or SPDY/3.1",
    ],
    [
      "apiserver",
      `process ${pids.apiserver}`,
      `${toKubelet?.local} -> ${toKubelet?.peer}`,
      "TLS: POST or GET /exec/default/…",
    ],
    ["kubelet", `process ${pids.kubelet}`, unix?.path ?? "?", "gRPC: CRI Exec, answered with a one-time URL"],
    [
      "runtime",
      `process ${pids.runtime}`,
      `${stream?.local} <- ${stream?.peer}`,
      "HTTP: that URL, upgraded to streams",
    ],
    [
      "monitor",
      `process ${parent?.pid}`,
      (parent?.args ?? "").slice(0, 50),
      "has entered the container, waits for the command",
    ],
    ["kernel", `process ${sleeper.pid}`, sleeper.args, "in the container's namespaces"],
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows)
    console.log(
      `  ${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("   ")
        .trimEnd()}`,
    );
  client.child.kill("SIGKILL");
  await eventually(
    "the command goes with its client",
    async () => !(await processes()).some(({ pid }) => pid === sleeper.pid),
  );
  console.log("  client killed: the connections are gone, and so is sleep 5000");
}

async function hopPids(): Promise<Partial<Record<Hop, number>>> {
  const found = await status({ dataDir });
  return Object.fromEntries(Object.entries(found?.hops ?? {}).map(([hop, running]) => [hop, running?.pid]));
}

/** Runs the program as a person would, on this terminal. Throws when it fails. */
async function hawser(...args: string[]): Promise<void> {
  const code = await hawserOrCode(...args);
  if (code !== 0) throw new Error(`hawser ${args[0]} ended with exit code ${code}`);
}

async function hawserOrCode(...args: string[]): Promise<number> {
  console.log(`$ hawser ${args.join(" ")}`);
  const child = spawn(process.execPath, [program, ...args], { stdio: "inherit" });
  const [code] = await once(child, "exit");
  return code ?? 1;
}

async function hubAnswers(): Promise<boolean> {
  // From a process of its own: a name that does not resolve would otherwise hold this one up at its end.
  const url = "https://registry-1.docker.io/v2/";
  const ask = `fetch(${JSON.stringify(url)}, { signal: AbortSignal.timeout(${hubTimeout}) }).then(({ status }) => process.exit(status === 401 || status === 200 ? 0 : 1), () => process.exit(1))`;
  return (await run([process.execPath, "-e", ask], { timeoutMs: 3 * hubTimeout })).code === 0;
}

async function usualPort(port: number): Promise<number> {
  const owner = await listenerOn(port);
  if (!owner) return port;
  const free = await freePort();
  console.log(`port ${port} is in use by ${owner.name} (process ${owner.pid}); the demo takes ${free}`);
  return free;
}

function say(text: string): void {
  console.log(`\n${process.stdout.isTTY ? styleText("bold", text) : text}`);
}
