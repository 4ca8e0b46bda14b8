import type { Status } from "@hawser/api";
import { ProtocolError, StreamError } from "../errors.ts";
import { featuresOf } from "./protocols.ts";

/** Bytes an error stream may carry. */
const maxStatusBytes = 64 * 1024;

/** What the error stream of a protocol carries for a Status; nothing for success before v4. */
export function encodeStatus(protocol: string, status: Status): Buffer {
  if (featuresOf(protocol).jsonStatus) return Buffer.from(JSON.stringify(status));
  if (status.status === "Success") return Buffer.alloc(0);
  return Buffer.from(status.message ?? status.reason ?? "unknown error");
}

/**
 * Collects the error stream of a client and reads it. A Receiver for a SPDY stream.
 *
 * Source: kubernetes/client-go tools/remotecommand/v4.go, errorstream.go
 */
export class StatusReader {
  readonly #protocol: string;
  readonly #done: () => void;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #failure: unknown;

  /** `done` is called once, when the stream has ended or failed. */
  constructor(protocol: string, done: () => void) {
    this.#protocol = protocol;
    this.#done = done;
  }

  /** Throws ProtocolError 1009 for more than 64 KiB: who says so much does not mean a Status. */
  push(bytes: Uint8Array): boolean {
    if (this.#bytes.byteLength + bytes.byteLength > maxStatusBytes) {
      throw new ProtocolError(`error stream protocol error: more than ${maxStatusBytes} bytes`, 1009);
    }
    if (!this.#ended) this.#bytes = Buffer.concat([this.#bytes, bytes]);
    return true;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#done();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = error;
    this.end();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Has it been said how the session ended, so that resets behind it are its end? Real servers end a session so. Only JSON can tell that
   * it is whole; before v4 any text is a failure, whole or not.
   */
  get complete(): boolean {
    if (!featuresOf(this.#protocol).jsonStatus) return this.#bytes.byteLength > 0;
    return parse(this.#bytes) !== undefined;
  }

  /** The Status, once the stream has ended. Throws StreamError `no-status` when nothing was said, `protocol` when it is no Status. */
  read(): Status {
    const text = this.#bytes.toString("utf8");
    if (!featuresOf(this.#protocol).jsonStatus) {
      // Before v4 silence is success; a reset is not silence, though real servers reset behind a success too: nobody can tell the two apart.
      if (text === "" && this.#failure) throw this.#failure;
      if (text === "") return { metadata: {}, status: "Success" };
      return {
        metadata: {},
        status: "Failure",
        message: `error executing remote command: ${text}`,
        reason: "InternalError",
        code: 500,
      };
    }
    // Real servers reset the error stream behind the Status instead of closing it.
    const status = parse(this.#bytes);
    if (status) return status;
    if (this.#failure) throw this.#failure;
    if (text === "")
      throw new StreamError("no-status", "the server ended the session without saying how the command ended");
    throw new StreamError(
      "protocol",
      `error stream protocol error: not a Status: ${JSON.stringify(text.slice(0, 200))}`,
    );
  }
}

function parse(bytes: Buffer): Status | undefined {
  if (bytes.byteLength === 0) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    const isStatus = typeof value === "object" && value !== null && "status" in value;
    return isStatus && (value.status === "Success" || value.status === "Failure") ? (value as Status) : undefined;
  } catch {
    return undefined;
  }
}
