// As much of an API server as a kubectl needs to exec, attach and port-forward; the "pod" is processes of this machine.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { exitStatus } from "@hawser/api";
import {
  acceptPortForward,
  acceptRemoteCommand,
  copy,
  duplexOf,
  type ProxyOptions,
  proxyUpgrade,
  type RemoteCommandStreams,
  sinkOf,
  sourceOf,
  type UpgradeRequest,
} from "@hawser/streaming";
import { listenUpgrades } from "@hawser/streaming/testing";
import { silentLogger } from "@hawser/trace";

export interface FakeAPI extends AsyncDisposable {
  port: number;
  /** `method upgrade protocol` of each session that reached the last hop. */
  sessions: string[];
  /** Processes that were ended because their client went. */
  killed: number;
}

/** `nextHop`: the session goes through an intermediate hop whose next knows that; without it it ends at the first. */
export async function startFakeAPI(nextHop?: ProxyOptions["nextHop"]): Promise<FakeAPI> {
  const stack = new AsyncDisposableStack();
  const state = { sessions: [] as string[], killed: 0 };
  const last = stack.use(
    await listenUpgrades(async (upgrade) => {
      const { method, headers } = upgrade.request;
      const protocol = headers["sec-websocket-protocol"] ?? headers["x-stream-protocol-version"];
      state.sessions.push(`${method} ${headers.upgrade} ${protocol}`);
      await (isPortForward(upgrade) ? forward(upgrade) : execute(upgrade, state));
    }, answer),
  );
  if (!nextHop) return Object.assign(state, { port: last.port, [Symbol.asyncDispose]: () => stack.disposeAsync() });
  const first = stack.use(
    await listenUpgrades((upgrade) => {
      const kind = isPortForward(upgrade) ? "portforward" : "remotecommand";
      const target = { url: new URL(upgrade.request.url ?? "", last.url) };
      return proxyUpgrade(upgrade, { target, kind, streams: streamsOf(upgrade), nextHop, log: silentLogger });
    }, answer),
  );
  return Object.assign(state, { port: first.port, [Symbol.asyncDispose]: () => stack.disposeAsync() });
}

function isPortForward({ request }: UpgradeRequest): boolean {
  return request.url?.split("?")[0]?.endsWith("/portforward") ?? false;
}

function streamsOf({ request }: UpgradeRequest): RemoteCommandStreams {
  const query = new URL(request.url ?? "", "http://h").searchParams;
  const has = (name: string) => query.get(name) === "true";
  return { stdin: has("stdin"), stdout: has("stdout"), stderr: has("stderr"), tty: has("tty") };
}

async function execute(upgrade: UpgradeRequest, state: { killed: number }): Promise<void> {
  const query = new URL(upgrade.request.url ?? "", "http://h").searchParams;
  await using session = await acceptRemoteCommand(upgrade, { ...streamsOf(upgrade), pingIntervalMs: 500 });
  const [program = "", ...args] = query.getAll("command");
  const child = spawn(program, args, { stdio: "pipe" });
  const exited = once(child, "exit");
  session.signal.addEventListener("abort", () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    state.killed++;
    child.kill("SIGKILL");
  });
  if (session.stdin) copy(session.stdin, sinkOf(child.stdin)).catch(() => {});
  const outputs = [
    session.stdout && copy(sourceOf(child.stdout), session.stdout),
    session.stderr && copy(sourceOf(child.stderr), session.stderr),
  ];
  await Promise.allSettled(outputs);
  const [code] = await exited;
  await session.finish(exitStatus(code ?? 137));
}

async function forward(upgrade: UpgradeRequest): Promise<void> {
  await using session = await acceptPortForward(upgrade, {
    async connect(port) {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return duplexOf(socket);
    },
  });
  await session.closed;
}

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default" },
  spec: { containers: [{ name: "c", image: "x" }] },
  status: { phase: "Running" },
};
const documents: Record<string, unknown> = {
  "/api": { kind: "APIVersions", versions: ["v1"] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": {
    kind: "APIResourceList",
    groupVersion: "v1",
    resources: [{ name: "pods", singularName: "pod", namespaced: true, kind: "Pod", verbs: ["get"] }],
  },
};

function answer(request: IncomingMessage, response: ServerResponse) {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(documents[request.url?.split("?")[0] ?? ""] ?? pod));
}
