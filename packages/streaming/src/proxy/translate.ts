import { exitCode, exitStatus, internalError, type Status } from "@hawser/api";
import { type ByteSink, type ByteSource, copy } from "../bytes.ts";
import { StreamError, UpgradeError } from "../errors.ts";
import { watchPeer } from "../peer-watch.ts";
import { brokenOffStatus, lossOf } from "../remotecommand/broken-off.ts";
import { speakSpdy } from "../remotecommand/client-spdy.ts";
import { Protocol, spdyClientProtocols } from "../remotecommand/protocols.ts";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import type { ClientSession, ServerSession } from "../remotecommand/types.ts";
import { dialSpdy } from "../spdy/handshake.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { addresses, dialFailure } from "./backend.ts";
import { nextHopTimeoutMs } from "./next-hop-watch.ts";
import { nextHopName } from "./splice.ts";
import type { ProxyOptions } from "./types.ts";

/**
 * v5 WebSocket here, SPDY to the next hop. The client is answered first: what the next hop refuses then comes as a Status.
 *
 * Source: kubernetes/apiserver pkg/util/proxy/streamtranslator.go
 */
export async function translate(upgrade: UpgradeRequest, options: ProxyOptions): Promise<void> {
  const { target, streams, onBackend, backendName = nextHopName, peerTimeoutMs, idleTimeoutMs, log } = options;
  if (!streams) throw new TypeError("a translation needs to know its streams");
  await using session = await acceptRemoteCommand(upgrade, {
    ...streams,
    protocols: [Protocol.v5],
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
  });
  try {
    const signal = anySignal(target.signal, session.signal);
    const dialled = await dialSpdy({ ...target, signal }, spdyClientProtocols).catch((cause: unknown) => {
      throw cause instanceof UpgradeError ? cause : dialFailure(cause, target.url);
    });
    onBackend?.({ way: "translate", statusCode: 101, ...addresses(dialled.socket) });
    using _backend = watchPeer(dialled.socket, peerTimeoutMs);
    await using backend = speakSpdy(dialled, { ...streams, peerTimeoutMs: nextHopTimeoutMs(options) });
    await session.finish(await join(session, backend));
  } catch (error) {
    if (error instanceof UpgradeError) onBackend?.({ way: "translate", statusCode: error.statusCode });
    log.at(2, "translated session failed", { backend: target.url.origin, error });
    await session.finish(failureOf(error, backendName));
  }
}

/** Carries everything both ways. Resolves with the Status for the client. */
async function join(session: ServerSession, backend: ClientSession): Promise<Status> {
  const onGone = () => void backend[Symbol.asyncDispose]();
  session.signal.addEventListener("abort", onGone, { once: true });
  const inputs = [carry(session.stdin, backend.stdin), carrySizes(session, backend)];
  const outputs = [carryOut(backend.stdout, session.stdout), carryOut(backend.stderr, session.stderr)];
  try {
    const [status] = await Promise.all([backend.status, ...outputs]);
    return remade(status);
  } finally {
    session.signal.removeEventListener("abort", onGone);
    for (const input of inputs) input.catch(() => {}); // a command may end with its input unread
  }
}

async function carry(from: ByteSource | undefined, to: ByteSink | undefined): Promise<void> {
  if (from && to) await copy(from, to);
}

/** An output that breaks off breaks off the session, but not its connection: the client is to be told by a Status. */
async function carryOut(from: ByteSource | undefined, to: ByteSink | undefined): Promise<void> {
  if (!from || !to) return;
  await copy(from, { write: (chunk) => to.write(chunk), close: () => to.close(), abort: async () => {} });
}

async function carrySizes(session: ServerSession, backend: ClientSession): Promise<void> {
  for await (const size of session.resize) await backend.resize(size);
}

/** An exit code gets the text that the real translator gives it. Any other failure stays what the next hop said. */
function remade(status: Status): Status {
  const code = exitCode(status);
  if (code === undefined || code === 0) return status;
  const message = `command terminated with non-zero exit code: command terminated with exit code ${code}`;
  return { ...exitStatus(code), message };
}

function failureOf(error: unknown, backendName: string): Status {
  if (error instanceof StreamError) return brokenOffStatus(lossOf(error, backendName));
  return error instanceof UpgradeError && error.status ? error.status : internalError(error).status;
}

function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}
