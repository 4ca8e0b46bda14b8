import { watchPeer } from "../peer-watch.ts";
import { livenessOf } from "../silence.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { dialSpdy, type SpdyUpgrade } from "../spdy/handshake.ts";
import type { SpdyStream } from "../spdy/stream.ts";
import type { DialTarget } from "../upgrade/types.ts";
import { givenUpMs, sessionStatus, track } from "./client-status.ts";
import { featuresOf, Protocol, spdyClientProtocols } from "./protocols.ts";
import { encodeSize } from "./resize.ts";
import { StatusReader } from "./status.ts";
import type { ClientSession, OpenOptions } from "./types.ts";

/** Dials a remote command over SPDY. Throws as dialSpdy does. */
export async function openOverSpdy(target: DialTarget, options: OpenOptions): Promise<ClientSession> {
  const dialled = await dialSpdy(target, options.protocols ?? spdyClientProtocols);
  const watch = watchPeer(dialled.socket, options.peerTimeoutMs);
  void dialled.transport.closed.then(() => watch[Symbol.dispose]());
  return speakSpdy(dialled, options);
}

/**
 * A remote command over a SPDY connection. All streams are asked for at once: none needs the answer for the one before.
 * What is written waits for its stream's reply, since real servers drop what comes earlier.
 *
 * Source: kubernetes/client-go tools/remotecommand/v2.go to v5.go
 */
export function speakSpdy({ transport, protocol: agreed }: SpdyUpgrade, options: OpenOptions): ClientSession {
  const protocol = agreed || Protocol.v1; // a server that names none speaks the first
  const connection = new SpdyConnection(transport, {
    role: "client",
    maxStreams: 0,
    ...livenessOf(options, 5000),
  });
  const errorEnded = Promise.withResolvers<void>();
  const reader = new StatusReader(protocol, errorEnded.resolve);
  connection.open([["streamtype", "error"]], { receiver: reader });
  const open = (type: string, wanted: boolean) => (wanted ? connection.open([["streamtype", type]]) : undefined);
  const stdin = open("stdin", options.stdin);
  const stdout = open("stdout", options.stdout);
  const stderr = open("stderr", options.stderr && !options.tty);
  const resize = open("resize", options.tty && featuresOf(protocol).resize);
  const outputs = [stdout, stderr]
    .filter((stream) => stream !== undefined)
    .map((stream) => trackStream(stream, reader));
  connection.start();
  const status = sessionStatus(reader, errorEnded.promise, outputs);
  const close = () => connection.close(givenUpMs);
  status.then(close, close);
  return {
    transport: "spdy",
    protocol,
    ...(stdin && { stdin: stdin.sink }),
    ...(stdout && { stdout: stdout.source }),
    ...(stderr && { stderr: stderr.source }),
    resize: async (size) => resize?.sink.write(encodeSize(size)),
    status,
    async [Symbol.asyncDispose]() {
      close();
    },
  };
}

function trackStream(stream: SpdyStream, reader: StatusReader) {
  // Real servers end a session by resetting what is open, behind the Status: that is their end of file.
  stream.resetIsEnd = () => reader.complete;
  const tracked = track(stream.receiver);
  stream.receiver = tracked.receiver;
  return tracked;
}
