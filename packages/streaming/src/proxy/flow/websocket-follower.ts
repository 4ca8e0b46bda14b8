import type { Status } from "@hawser/api";
import { featuresOf } from "../../remotecommand/protocols.ts";
import { encodeStatus } from "../../remotecommand/status.ts";
import { Channel } from "../../websocket/channels.ts";
import { ControlOpcode, encodeFrameHeader, Opcode } from "../../websocket/frame.ts";
import { HopPings, isHopPayload } from "../../websocket/hop-pings.ts";
import type { Follower } from "./flow.ts";
import { WebSocketFlow } from "./websocket-flow.ts";

/** Behind a Status, as servers close: kubectl reads it only then. And without one: the server could not go on. Source: RFC 6455, section 7.4.1 */
const closeCode = { told: 1000, untold: 1011 };
/** The digit that channel 0 has in base64 protocols. */
const firstDigit = 0x30;

/**
 * Follows a WebSocket. A remote command, for which a `protocol` is named, is ended with a Status where the next hop breaks off before it has sent
 * one; every other session with a close frame that says that it did not end well.
 */
export function followWebSocket(protocol?: string): Follower {
  const pings = new HopPings();
  const { base64 } = featuresOf(protocol ?? "");
  const errorChannel = base64 ? firstDigit + Channel.error : Channel.error;
  let said = false;
  let closed = false;
  /** Bytes since a ping of ours that was answered: what came before it was dealt with. And how many of them came before the first that was not yet. */
  let sent = 0;
  let asked: number | undefined;
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
            sent -= asked ?? 0;
            asked = undefined;
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
      asked ??= sent;
      return pings.make();
    },
    sent: () => sent,
    ending(status) {
      if (closed) return [];
      closed = true;
      if (protocol === undefined || said || !back?.betweenMessages) return [closeFrame(closeCode.untold)];
      return [...messageOf(status), closeFrame(closeCode.told)];
    },
  };

  function messageOf(status: Status): Uint8Array[] {
    const bytes = encodeStatus(protocol ?? "", status);
    const payload = base64 ? Buffer.from(bytes.toString("base64")) : bytes;
    return [encodeFrameHeader(base64 ? Opcode.text : Opcode.binary, payload.byteLength, errorChannel), payload];
  }
}

function closeFrame(code: number): Uint8Array {
  return Buffer.of(0x80 | ControlOpcode.close, 2, code >> 8, code & 0xff);
}
