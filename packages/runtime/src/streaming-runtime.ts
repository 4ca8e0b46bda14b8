import { once } from "node:events";
import { connect as dial } from "node:net";
import path from "node:path";
import type { AttachRequest, ExecRequest, StreamingRuntime } from "@hawser/cri";
import { duplexOf, type ServerSession } from "@hawser/streaming";
import { archiveCommand } from "@hawser/tar";
import { runArchiveSession } from "./archive/session.ts";
import type { Context } from "./context.ts";
import { connectInNetns, connectPatience } from "./network/forward.ts";
import { attachToConmon } from "./oci/attach.ts";
import { execInContainer } from "./oci/exec.ts";
import { execDependencies, runningContainer } from "./server/container-running.ts";
import { readySandbox } from "./server/sandbox-portforward.ts";

type Dependencies = Pick<
  Context,
  "reaper" | "oci" | "helper" | "groups" | "paths" | "config" | "containers" | "sandboxes" | "metrics" | "log"
>;

/** The three things a streaming URL stands for, counted and timed like the CRI's methods. */
export function streamingRuntime(dependencies: Dependencies): StreamingRuntime {
  const { metrics } = dependencies;
  return {
    exec: (request, session) => metrics.measure("exec_session", () => exec(dependencies, request, session)),
    attach: (request, session) => metrics.measure("attach_session", () => attach(dependencies, request, session)),
    portForward: (id, port, signal) =>
      metrics.measure("portforward_connection", () => portForward(dependencies, { id, port, signal })),
  };
}

async function exec(dependencies: Dependencies, request: ExecRequest, session: ServerSession): Promise<number> {
  const container = runningContainer(dependencies, request.containerId);
  const [program, ...args] = request.cmd;
  if (program === archiveCommand && !request.tty) {
    return await runArchiveSession(execDependencies(dependencies), container, { args, session });
  }
  return await execInContainer(execDependencies(dependencies), {
    container,
    command: request.cmd,
    tty: request.tty,
    stdin: session.stdin,
    stdout: session.stdout,
    stderr: session.stderr,
    resize: request.tty ? session.resize : undefined,
    signal: session.signal,
  });
}

async function attach(dependencies: Dependencies, request: AttachRequest, session: ServerSession): Promise<void> {
  const { id, stdin, tty } = runningContainer(dependencies, request.containerId);
  const { paths, containers } = dependencies;
  await attachToConmon({
    socketPath: path.join(paths.sockets, id, "attach"),
    controlPath: path.join(containers.directoryOf(id), "ctl"),
    stdin: stdin ? session.stdin : undefined,
    stdout: session.stdout,
    stderr: session.stderr,
    resize: tty ? session.resize : undefined,
    signal: session.signal,
  });
}

async function portForward(dependencies: Dependencies, to: { id: string; port: number; signal: AbortSignal }) {
  const { network } = readySandbox(dependencies, to.id);
  if (network) return duplexOf(await connectInNetns(network.netns, to.port, to.signal));
  const socket = dial({ host: "localhost", port: to.port, allowHalfOpen: true });
  const late = AbortSignal.timeout(connectPatience);
  try {
    await once(socket, "connect", { signal: AbortSignal.any([to.signal, late]) });
  } catch (error) {
    socket.destroy(); // the client has gone first: nobody else would close it
    if (late.aborted) throw new Error(`failed to connect to localhost:${to.port} on the node: connection timed out`);
    throw error;
  }
  return duplexOf(socket);
}
