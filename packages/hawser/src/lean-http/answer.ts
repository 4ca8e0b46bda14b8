import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { Head } from "./answer-reader.ts";

/** What was answered, its body as a stream: as much of Node's IncomingMessage as is used. */
export class Answer extends Readable {
  readonly statusCode: number;
  readonly headers: Head["headers"];
  readonly socket: Socket;
  /** All of the body has come, and the connection is somebody else's. */
  complete = false;

  constructor(socket: Socket, { statusCode, headers }: Head) {
    super();
    this.socket = socket;
    this.statusCode = statusCode;
    this.headers = headers;
  }

  override _read(): void {
    if (!this.complete) this.socket.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.complete) this.socket.destroy();
    done(error);
  }
}
