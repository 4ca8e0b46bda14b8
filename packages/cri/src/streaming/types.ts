import type { Status } from "@hawser/api";
import type { ByteDuplex, ServerSession, UpgradeRequest } from "@hawser/streaming";
import type { Logger } from "@hawser/trace";
import type { AttachRequest, ExecRequest, PortForwardRequest } from "../gen/cri_pb.ts";

/** What a runtime does for the streaming server: the three things a URL can stand for. */
export interface StreamingRuntime {
  /** Runs the command over the session. Resolves with its exit code, or with a Status; a throw becomes a failure Status. */
  exec(request: ExecRequest, session: ServerSession): Promise<number | Status>;
  /** Joins the session to the container's main process, until either ends. */
  attach(request: AttachRequest, session: ServerSession): Promise<void>;
  /** Opens one connection to a port inside the sandbox. */
  portForward(podSandboxId: string, port: number, signal: AbortSignal): Promise<ByteDuplex>;
}

export interface StreamingServerOptions {
  runtime: StreamingRuntime;
  /** 127.0.0.1 where absent. */
  address?: string;
  /** 0 (any free one) where absent. */
  port?: number;
  /** Milliseconds; 4 hours where absent, 0 for never. A function is asked for each session. */
  idleTimeoutMs?: number | (() => number);
  /** Milliseconds; 30 000 where absent. */
  streamCreationTimeoutMs?: number;
  /** Milliseconds of silence until we ping; 30 000 where absent, 0 for never. */
  pingIntervalMs?: number;
  log?: Logger;
  /** The clock of the tokens, milliseconds. */
  now?: () => number;
}

/** The URL of one prepared session, with its one-time token. */
export interface StreamingURL {
  url: string;
}

/** What a streaming server has on its hands. */
export interface StreamingLoad {
  /** URLs given out whose clients have not come, of the last minute. */
  tokens: number;
  /** Sessions under way. */
  sessions: Record<"exec" | "attach" | "portforward", number>;
}

/**
 * The streaming server of a CRI runtime: prepares a session, answers its URL, and serves who comes with it.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/server.go
 */
export interface StreamingServer extends AsyncDisposable {
  /** Throws CRIError InvalidArgument (no stream asked for, tty with stderr) or ResourceExhausted (1000 wait). */
  getExec(request: ExecRequest): StreamingURL;
  getAttach(request: AttachRequest): StreamingURL;
  getPortForward(request: PortForwardRequest): StreamingURL;
  /** Listens. Resolves when it does; with `stayUp`, only once the server was stopped. */
  start(stayUp?: boolean): Promise<void>;
  /** Stops listening and ends every session. */
  stop(): Promise<void>;
  load(): StreamingLoad;
  /** Serves one upgrade that came in elsewhere. */
  serve(upgrade: UpgradeRequest): void;
}
