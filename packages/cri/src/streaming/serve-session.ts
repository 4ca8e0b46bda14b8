// Step 7 of 8, its second half: server.ts has taken the token back; here a session meets the runtime's three functions.
import { exitStatus, internalError, type Status } from "@hawser/api";
import { acceptPortForward, acceptRemoteCommand, type UpgradeRequest } from "@hawser/streaming";
import type { AttachRequest, ExecRequest, PortForwardRequest } from "../gen/cri_pb.ts";
import type { StreamingRuntime, StreamingServerOptions } from "./types.ts";

/** A request that waits for its client. */
export type Prepared =
  | { kind: "exec"; request: ExecRequest }
  | { kind: "attach"; request: AttachRequest }
  | { kind: "portforward"; request: PortForwardRequest };

export type Timeouts = Pick<StreamingServerOptions, "streamCreationTimeoutMs" | "pingIntervalMs"> & {
  idleTimeoutMs?: number;
};

interface Dependencies {
  runtime: StreamingRuntime;
  timeouts: Timeouts;
  /** Ends the session when the server stops. */
  signal: AbortSignal;
}

/**
 * Serves one client to its end. Rejects when there was no session: the upgrade was refused, or the client went away first.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/remotecommand/{exec,attach}.go, portforward/portforward.go
 */
export async function serveSession(
  dependencies: Dependencies,
  prepared: Prepared,
  upgrade: UpgradeRequest,
): Promise<void> {
  const { runtime } = dependencies;
  switch (prepared.kind) {
    case "exec": {
      const { request } = prepared;
      return serveCommand(dependencies, request, upgrade, "error executing command in container", async (session) => {
        const end = await runtime.exec(request, session);
        return typeof end === "number" ? exitStatus(end) : end;
      });
    }
    case "attach": {
      const { request } = prepared;
      return serveCommand(dependencies, request, upgrade, "error attaching to container", async (session) => {
        await runtime.attach(request, session);
        return exitStatus(0);
      });
    }
    case "portforward":
      return servePortForward(dependencies, prepared.request, upgrade);
  }
}

type Session = Awaited<ReturnType<typeof acceptRemoteCommand>>;

async function serveCommand(
  { timeouts, signal }: Dependencies,
  { stdin, stdout, stderr, tty }: ExecRequest | AttachRequest,
  upgrade: UpgradeRequest,
  failure: string,
  run: (session: Session) => Promise<Status>,
): Promise<void> {
  await using session = await acceptRemoteCommand(upgrade, { stdin, stdout, stderr, tty, ...timeouts });
  using _stop = onAbort(signal, () => void session[Symbol.asyncDispose]());
  const status = await run(session).catch((cause: unknown) => {
    const text = cause instanceof Error ? cause.message : String(cause);
    return internalError(new Error(`${failure}: ${text}`, { cause })).status;
  });
  await session.finish(status);
}

async function servePortForward(
  { runtime, timeouts, signal }: Dependencies,
  { podSandboxId, port }: PortForwardRequest,
  upgrade: UpgradeRequest,
): Promise<void> {
  await using session = await acceptPortForward(upgrade, {
    ports: port,
    connect: (to, ended) => runtime.portForward(podSandboxId, to, ended),
    ...timeouts,
  });
  using _stop = onAbort(signal, () => void session[Symbol.asyncDispose]());
  await session.closed;
}

function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) listener();
  signal.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", listener) };
}
