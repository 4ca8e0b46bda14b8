import type { Status } from "@hawser/api";
import { featuresOf } from "../../remotecommand/protocols.ts";
import { encodeStatus } from "../../remotecommand/status.ts";
import { Channel } from "../../websocket/channels.ts";
import { encodeFrameHeader, Opcode } from "../../websocket/frame.ts";
import { ControlOpcode, HopPings, isHopPayload } from "../../websocket/hop-pings.ts";
import type { Follower } from "./flow.ts";
import { WebSocketFlow } from "./websocket-flow.ts";

/** Says that the server could not go on. Source: RFC 6455, section 7.4.1 */
const closeCode = 1011;
/** The digit that channel 0 has in base64 protocols. */
const firstDigit = 0x30;

/**
 * Follows a WebSocket. A remote command, for which a `protocol` is named, is ended with a Status where the next hop breaks off before it has sent
 * one; every session with a close frame that says that it did not end well.
 */
export function followWebSocket(protocol?: string): Follower {
  const pings = new HopPings();
  const { base64 } = featuresOf(protocol ?? "");
  const errorChannel = base64 ? firstDigit + Channel.error : Channel.error;
  let said = false;
  let closed = false;
  /** Bytes since a ping of ours that was answered: what came before it was dealt with. And how many of them came before one that was not yet. */
  let sent = 0;
  let asked = 0;
  let back: WebSocketFlow | undefined;

  return {
    fromClient: (target) =>
      new WebSocketFlow(target, {
        control: (_opcode, payload) => ({ passes: true, idle: isHopPayload(payload) }),
        message: () => {},
        data(bytes) {
          sent += bytes;
        },
      }),
    fromNextHop(target) {
      back = new WebSocketFlow(target, {
        control(opcode, payload) {
          closed ||= opcode === ControlOpcode.close;
          const isOurs = opcode === ControlOpcode.pong && pings.isOurs(payload);
          if (isOurs) {
            sent -= asked;
            asked = 0;
          }
          return { passes: !isOurs, idle: isHopPayload(payload) };
        },
        message(first) {
          said ||= protocol !== undefined && first === errorChannel;
        },
        data: () => {},
      });
      return back;
    },
    ping() {
      asked ||= sent;
      return pings.make();
    },
    sent: () => sent,
    ending(status) {
      if (closed) return [];
      closed = true;
      const close = [Buffer.of(0x80 | ControlOpcode.close, 2, closeCode >> 8, closeCode & 0xff)];
      if (protocol === undefined || said || !back?.betweenMessages) return close;
      return [...messageOf(status), ...close];
    },
  };

  function messageOf(status: Status): Uint8Array[] {
    const bytes = encodeStatus(protocol ?? "", status);
    const payload = base64 ? Buffer.from(bytes.toString("base64")) : bytes;
    return [encodeFrameHeader(base64 ? Opcode.text : Opcode.binary, payload.byteLength, errorChannel), payload];
  }
}
