import type { Status } from "@hawser/api";
import { ProtocolError } from "../../errors.ts";
import { encodeStatus } from "../../remotecommand/status.ts";
import { FrameDecoder } from "../../spdy/decode.ts";
import { encodeDataHeader, Flag, FrameType } from "../../spdy/frame.ts";
import { HopPings, isHopPing } from "../../spdy/hop-pings.ts";
import type { Flow, FlowTarget, Follower } from "./flow.ts";
import { OpenInputs } from "./open-inputs.ts";
import { SpdyFlow } from "./spdy-flow.ts";

/** Bytes of a client within which it has opened its error stream: clients open it first. */
const maxOpening = 64 * 1024;

/**
 * Follows SPDY. A remote command, for which a `protocol` is named, is ended with a Status where the next hop breaks off before it has sent one:
 * every kubectl up to 1.29 takes the end of the connection for the command's success otherwise.
 *
 * Of the headers only those are read that come with the client's first frames, until one opens the error stream.
 */
export function followSpdy(protocol?: string): Follower {
  const pings = new HopPings();
  const inputs = new OpenInputs();
  let opening = protocol === undefined ? undefined : new FrameDecoder();
  let opened = 0;
  /** The id of the error stream. */
  let errorStream: number | undefined;
  let said = false;

  function readOpening(frame: Buffer) {
    opened += frame.byteLength;
    try {
      for (const { type, ...rest } of opening?.push(frame) ?? []) {
        if (type !== "synStream" || !("headers" in rest) || rest.headers.get("streamtype") !== "error") continue;
        errorStream = rest.streamId;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      opening = undefined; // the next hop will tell it
    }
    if (errorStream !== undefined || opened > maxOpening) opening = undefined;
  }

  /** What begins a stream, and what ends its input besides data: a reset by either side. */
  function control(frame: Buffer, side: "client" | "server") {
    const type = typeOf(frame);
    if (frame.byteLength < 12) return;
    const streamId = frame.readUInt32BE(8);
    if (type === FrameType.rstStream) inputs.reset(streamId);
    else if (type !== FrameType.ping && type !== FrameType.goAway) {
      if (type === FrameType.synStream) inputs.opened(streamId);
      if ((frame[4] ?? 0) & Flag.fin) inputs.ended(streamId, side);
    }
  }

  const fromClient = (target: FlowTarget): Flow =>
    new SpdyFlow(target, {
      control(frame) {
        if (opening) readOpening(frame);
        control(frame, "client");
        return { passes: true, idle: isPing(frame, isHopPing) };
      },
      data(streamId, bytes, fin) {
        inputs.sent(streamId, bytes);
        if (fin) inputs.ended(streamId, "client");
      },
      whole: () => false,
    });

  const fromNextHop = (target: FlowTarget): Flow =>
    new SpdyFlow(target, {
      control(frame) {
        control(frame, "server");
        said ||= typeOf(frame) === FrameType.goAway;
        return { passes: !isPing(frame, (id) => pings.isOurs(id)), idle: isPing(frame, isHopPing) };
      },
      data(streamId, _bytes, fin) {
        said ||= streamId === errorStream;
        if (fin) inputs.ended(streamId, "server");
      },
      whole: (streamId) => streamId === errorStream,
    });

  return {
    fromClient,
    fromNextHop,
    ping: () => pings.make(),
    sent: () => inputs.most,
    ending(status: Status) {
      if (protocol === undefined || errorStream === undefined || said) return [];
      said = true;
      const text = encodeStatus(protocol, status);
      return [encodeDataHeader(errorStream, text.byteLength, true), text];
    },
  };
}

/** Undefined for one of another version. */
function typeOf(frame: Buffer): number | undefined {
  return frame.readUInt16BE(0) === 0x8003 ? frame.readUInt16BE(2) : undefined;
}

function isPing(frame: Buffer, which: (id: number) => boolean): boolean {
  return typeOf(frame) === FrameType.ping && frame.byteLength === 12 && which(frame.readUInt32BE(8));
}
