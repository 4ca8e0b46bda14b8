// Step 2 of 8. Before: cli/src/commands/exec.ts. After: apiserver/src/registry/core/pod/exec.ts (TLS).
import { exitCode, podAttachOptionsQuery, podExecOptionsQuery, type Status, StatusError } from "@hawser/api";
import type { ByteSource, ClientSession, TerminalSize, UpgradeKind } from "@hawser/streaming";
import type { KubeClient } from "./client.ts";
import { type Input, stoppable } from "./input.ts";
import { type Output, type OutputWriter, outputWriter, writeAll } from "./output.ts";
import { dialPod } from "./subresource.ts";

export interface AttachOptions {
  namespace: string;
  pod: string;
  /** Default: the only container of the pod; the server refuses to choose among several. */
  container?: string | undefined;
  /** Each stream that is given is asked for, and no other; where none is, the output is dropped. Ended when the input ends. */
  stdin?: Input | undefined;
  stdout?: Output | undefined;
  /** Never asked for together with `tty`: a terminal has one output. */
  stderr?: Output | undefined;
  tty?: boolean | undefined;
  /** The terminal's size, or its sizes as they change. */
  size?: TerminalSize | AsyncIterable<TerminalSize> | undefined;
  /** Aborting ends the session; the promise rejects with its reason. */
  signal?: AbortSignal | undefined;
  /** Default both, WebSocket first. */
  transports?: readonly UpgradeKind[] | undefined;
  /**
   * Milliseconds a server may leave what it was sent unacknowledged, and twice that pings unanswered, before the session is
   * lost. Default 30,000; 0 for as long as TCP has it. Where more than 64 KiB of input may be waiting there for the process, pings may
   * stay unanswered 15 times as long.
   */
  peerTimeoutMs?: number | undefined;
  /** Called when the streams are open. */
  onOpen?: ((session: { transport: UpgradeKind; protocol: string }) => void) | undefined;
}

export interface ExecOptions extends AttachOptions {
  command: readonly string[];
}

export interface ExecResult {
  /** 0 to 255. */
  exitCode: number;
  status: Status;
}

/**
 * Runs a command in a container. Resolves with its exit code once its last byte of output was taken:
 * a code other than 0 is a result, not an error.
 *
 * Throws StatusError when it could not be run, UpgradeError and ConnectionError when the server was not reached,
 * StreamError when the session broke off or ended without saying how (never a silent success), whatever an input or
 * output threw, and the signal's reason.
 */
export async function exec(client: KubeClient, options: ExecOptions): Promise<ExecResult> {
  const { command, container } = options;
  const query = podExecOptionsQuery({ ...flags(options), command: [...command], ...(container && { container }) });
  const status = await run(client, { ...options, subresource: "exec", query });
  const code = exitCode(status);
  if (code === undefined) throw new StatusError(status);
  return { exitCode: code, status };
}

/**
 * Joins the terminal or streams of a container's main process. Resolves when the process or the input let go of it;
 * how the process ended is in the pod's status. Throws as `exec` does.
 */
export async function attach(client: KubeClient, options: AttachOptions): Promise<void> {
  const { container } = options;
  const query = podAttachOptionsQuery({ ...flags(options), ...(container && { container }) });
  const status = await run(client, { ...options, subresource: "attach", query });
  if (exitCode(status) === undefined) throw new StatusError(status);
}

/**
 * Loads what a session needs, which `exec` and `attach` do when they are called: not before, so that a program that only
 * asks and watches does not pay for WebSocket. For one that has something to wait for until then.
 */
export function loadRemoteCommand(): Promise<typeof import("@hawser/streaming/remotecommand")> {
  return import("@hawser/streaming/remotecommand");
}

function flags({ stdin, stdout, stderr, tty = false }: AttachOptions) {
  // A server refuses a session without any stream: the output is then asked for, and dropped.
  const none = stdin === undefined && stdout === undefined && stderr === undefined;
  return {
    stdin: stdin !== undefined,
    stdout: stdout !== undefined || none,
    stderr: stderr !== undefined && !tty,
    tty,
  };
}

async function run(
  client: KubeClient,
  options: AttachOptions & { subresource: "exec" | "attach"; query: URLSearchParams },
): Promise<Status> {
  const { signal, transports, peerTimeoutMs } = options;
  const how = {
    ...flags(options),
    ...(transports && { transports }),
    ...(peerTimeoutMs !== undefined && { peerTimeoutMs }),
  };
  const { openRemoteCommand } = await loadRemoteCommand();
  await using session = await dialPod(client, options, {
    open: (target) => openRemoteCommand(target, how),
    signal,
  });
  session.status.catch(() => {}); // awaited below, but an output may fail first
  options.onOpen?.({ transport: session.transport, protocol: session.protocol });
  using stop = stopper(signal);
  using input = feed(session, options.stdin, stop);
  resizeAsAsked(session, options.size, stop.signal);
  const outputs = Promise.all([drain(session.stdout, options.stdout), drain(session.stderr, options.stderr)]);
  return await Promise.race([stop.aborted, input.failed, outputs.then(() => session.status)]);
}

interface Stopper extends Disposable {
  signal: AbortSignal;
  /** Rejects when the caller aborts. */
  aborted: Promise<never>;
}

/** Its signal is aborted on the way out, or by the caller. */
function stopper(outer: AbortSignal | undefined): Stopper {
  const inner = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const onAbort = () => {
    reject(outer?.reason);
    inner.abort(outer?.reason);
  };
  if (outer?.aborted) onAbort();
  else outer?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: inner.signal,
    aborted: promise,
    [Symbol.dispose]() {
      outer?.removeEventListener("abort", onAbort);
      inner.abort();
    },
  };
}

/** Moves the input into the session. A process may leave it unread, and end before it: only a failing input is an error. */
function feed(
  session: ClientSession,
  input: Input | undefined,
  { signal }: Stopper,
): Disposable & { failed: Promise<never> } {
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const { stdin } = session;
  if (input === undefined || !stdin) return { failed, [Symbol.dispose]: () => {} };
  const { source, stop } = stoppable(input);
  signal.addEventListener("abort", stop, { once: true });
  const move = async () => {
    const chunks = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await chunks.next().catch((error: unknown) => {
          reject(error);
          throw error;
        });
        if (next.done) break;
        await stdin.write(next.value);
      }
      if (!signal.aborted) await stdin.close();
    } finally {
      stop();
      await chunks.return?.();
    }
  };
  move().catch(() => {}); // a write fails when the session is over, and its status says why
  return {
    failed,
    [Symbol.dispose]() {
      signal.removeEventListener("abort", stop);
      stop();
    },
  };
}

function resizeAsAsked(session: ClientSession, size: AttachOptions["size"], signal: AbortSignal): void {
  if (!size) return;
  const follow = async () => {
    if (!(Symbol.asyncIterator in size)) return await session.resize(size);
    for await (const each of size) {
      if (signal.aborted) return;
      await session.resize(each);
    }
  };
  follow().catch(() => {}); // a session that is over has no size
}

/** Takes an output to its end, and hands it on as fast as it is taken. */
async function drain(source: ByteSource | undefined, output: Output | undefined): Promise<void> {
  if (!source) return;
  const writer: OutputWriter | undefined = output && outputWriter(output);
  try {
    if (writer) await writeAll(source, writer);
    else for await (const _ of source);
  } finally {
    writer?.release();
  }
}
